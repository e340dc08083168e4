// SPDX-License-Identifier: Apache-2.0
// Structures that grow: the rule for those that begin with struct_size. What a caller passes is copied before it is looked
// at, because another thread, or another process that shares the memory, may change it at any time.

import CLTP
import CLTPSystem

/// A caller's mistake: a status and what to do about it.
package struct OptionFault: Error {
  package let status: Int32
  package let text: StaticString
  /// The signal whose rule is to blame; LTP_SIGNAL_NONE: none is.
  package var signal: UInt8 = LTP_SIGNAL_NONE

  package init(_ text: StaticString) {
    status = LTP_ERROR_OPTION_RANGE
    self.text = text
  }

  package init(status: Int32, signal: UInt8 = LTP_SIGNAL_NONE, _ text: StaticString) {
    self.status = status
    self.signal = signal
    self.text = text
  }
}

/// A copy of what lies at `pointer`, which may be unaligned.
package func copied<Value>(_ pointer: UnsafeRawPointer, as type: Value.Type) -> Value {
  withUnsafeTemporaryAllocation(of: Value.self, capacity: 1) { buffer in
    ltp_system_copy(buffer.baseAddress!, pointer, MemoryLayout<Value>.size)
    return buffer[0]
  }
}

/// A size that a structure of some version can have. Fields are whole words: a size in between is nobody's.
private func isSize(_ size: Int, least: Int) -> Bool { size >= least && size <= 4096 && size % 8 == 0 }

/// Writes a structure that starts with struct_size for a caller who knows `size` bytes of it: a later header has more
/// fields, which are zeroed for it; an earlier one, down to `least`, fewer. Returns LTP_OK or what is wrong.
package func writeSized<Structure>(
  _ value: Structure, to pointer: UnsafeMutablePointer<Structure>?, size: Int, least: Int
) -> Int32 {
  guard let pointer else { return LTP_ERROR_NULL_ARGUMENT }
  guard isSize(size, least: least) else { return LTP_ERROR_STRUCT_SIZE }
  let memory = UnsafeMutableRawPointer(pointer)
  memory.initializeMemory(as: UInt8.self, repeating: 0, count: size)
  withUnsafeBytes(of: value) { memory.copyMemory(from: $0.baseAddress!, byteCount: min(size, $0.count)) }
  memory.storeBytes(of: UInt32(size), as: UInt32.self)
  return LTP_OK
}

/// Reads a structure that starts with struct_size: too small is refused, only the known part is read, and what
/// this library does not know must be zero. Each byte is read once but for struct_size, whose first reading counts.
package func readSized<Structure>(
  _ pointer: UnsafePointer<Structure>, least: Int
) throws(OptionFault) -> Structure {
  let raw = UnsafeRawPointer(pointer)
  let size = Int(copied(raw, as: UInt32.self))
  let known = MemoryLayout<Structure>.size
  guard isSize(size, least: least) else {
    throw OptionFault(
      status: LTP_ERROR_STRUCT_SIZE, "struct_size is not set; call the structure's init function")
  }
  for offset in min(known, size)..<size where copied(raw + offset, as: UInt8.self) != 0 {
    throw OptionFault(
      status: LTP_ERROR_STRUCT_SIZE, "a field that this library does not know is not zero; update the library"
    )
  }
  return withUnsafeTemporaryAllocation(byteCount: known, alignment: 16) { buffer in
    let base = buffer.baseAddress!
    base.initializeMemory(as: UInt8.self, repeating: 0, count: known)
    ltp_system_copy(base, raw, min(known, size))
    base.storeBytes(of: UInt32(size), as: UInt32.self)
    return base.load(as: Structure.self)
  }
}
