// SPDX-License-Identifier: Apache-2.0
// Texts in records: fields of a fixed size, padded with zeros.

import LTPRecords

/// The text in a field; nil when a byte follows the first zero, or when no zero ends it.
func text(inField field: UnsafeRawBufferPointer) -> String? {
  guard let end = field.firstIndex(of: 0),
    firstNonZero(field.baseAddress!, from: end, to: field.count) == nil
  else { return nil }
  return String(decoding: field[..<end], as: UTF8.self)
}
