// SPDX-License-Identifier: Apache-2.0
// Large tables of zeros that cost nothing until they are used.

import Glibc

/// `bytes` zero bytes, aligned to 16; a size known at compile time.
func allocateZeroed(_ bytes: Int) -> UnsafeMutableRawPointer {
  guard let memory = calloc(bytes, 1) else { fatalError("no memory for a table of \(bytes) bytes") }
  return memory
}

func releaseZeroed(_ memory: UnsafeMutableRawPointer) { free(memory) }
