// SPDX-License-Identifier: Apache-2.0
//
// C arrays inside frames. Swift sees such an array as a tuple; these read and write one entry by its index.
//
// Invariant: the index is tested against the tuple's own size, so no entry outside the array is touched.

/// A copy of the entry at `index` of the C array that `tuple` is.
func entry<Tuple, Entry: BitwiseCopyable>(
  _ index: Int, of tuple: Tuple, as type: Entry.Type
) -> Entry {
  precondition(index >= 0 && index < MemoryLayout<Tuple>.size / MemoryLayout<Entry>.stride, "no such entry")
  return withUnsafeBytes(of: tuple) { bytes in
    bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Entry>.stride, as: type)
  }
}

/// Replaces the entry at `index` of the C array that `tuple` is.
func setEntry<Tuple, Entry: BitwiseCopyable>(_ index: Int, of tuple: inout Tuple, to value: Entry) {
  precondition(index >= 0 && index < MemoryLayout<Tuple>.size / MemoryLayout<Entry>.stride, "no such entry")
  withUnsafeMutableBytes(of: &tuple) { bytes in
    bytes.storeBytes(of: value, toByteOffset: index * MemoryLayout<Entry>.stride, as: Entry.self)
  }
}
