// SPDX-License-Identifier: Apache-2.0
// Records in and out of a block's body. Slots are 32-byte aligned, so a record is bound where it lies.
//
// Not `storeBytes` and `loadUnaligned`: their BitwiseCopyable conformance of imported C structures does not
// survive serialization of generic code in Embedded Swift 6.3 (the compiler stops with "Conformance ... not
// found in referenced module").

/// Stores a record at an aligned address.
func storeRecord<Record>(_ record: Record, at address: UnsafeMutableRawPointer) {
  address.assumingMemoryBound(to: Record.self).pointee = record
}

/// Loads a record from an aligned address.
func loadRecord<Record>(_ type: Record.Type, from address: UnsafeRawPointer) -> Record {
  address.assumingMemoryBound(to: Record.self).pointee
}
