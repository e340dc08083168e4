// SPDX-License-Identifier: Apache-2.0
// A file with a secret: read only when it can be one.

import CLTP
import CLTPSystem
import LTPRecords

package struct KeyFault: Error {
  package let text: StaticString
  /// errno; 0: none.
  package let code: Int32

  init(_ text: StaticString, code: Int32 = 0) {
    self.text = text
    self.code = code
  }
}

package enum KeyFile {
  package static let byteCount = 16
  /// A group may read: that is how secrets are handed to a service that is not root. Nobody but the owner writes.
  private static let openToOthers: UInt32 = 0o037

  /// Reads the file's 16 bytes to `key`.
  package static func read(
    _ path: UnsafePointer<CChar>, into key: UnsafeMutableRawPointer
  ) throws(KeyFault) {
    let descriptor = ltp_system_open_path(path, LTP_SYSTEM_READ_ONLY, 0)
    guard descriptor >= 0 else {
      throw KeyFault(
        "the key file cannot be opened; make one as the service's user: (umask 077; head -c 16 /dev/urandom > FILE)",
        code: -descriptor)
    }
    defer { _ = ltp_system_close(descriptor) }
    var facts = ltp_system_facts()
    let result = ltp_system_facts_of(descriptor, &facts)
    guard result == 0 else { throw KeyFault("the key file cannot be looked at", code: -result) }
    guard facts.is_regular != 0 else { throw KeyFault("the key file is not a regular file") }
    guard facts.owner == ltp_system_user() || facts.owner == 0 else {
      throw KeyFault(
        "the key file belongs to another user, who knows the key; make a new one as the service's user")
    }
    guard facts.mode & openToOthers == 0 else {
      throw KeyFault(
        "others may read or write the key file, so its key is no secret; make a new one, and chmod 600 it")
    }
    // One byte more, to see that there is none.
    var bytes: (UInt64, UInt64, UInt8) = (0, 0, 0)
    defer { bytes = (0, 0, 0) }
    let count = withUnsafeMutableBytes(of: &bytes) {
      ltp_system_read_at(descriptor, $0.baseAddress, byteCount + 1, 0)
    }
    guard count >= 0 else { throw KeyFault("the key file cannot be read", code: Int32(-count)) }
    guard count == Int64(byteCount) else {
      throw KeyFault("the key file does not hold 16 bytes; a key is 16 secret random bytes, and no text")
    }
    guard !SipKey(low: bytes.0, high: bytes.1).isNoSecret else {
      throw KeyFault("the key file's bytes are all equal; a key is 16 secret random bytes")
    }
    withUnsafeBytes(of: bytes) { key.copyMemory(from: $0.baseAddress!, byteCount: byteCount) }
  }
}

extension SipKey {
  /// All bytes are equal: memory, or a file, that nobody has filled in.
  var isNoSecret: Bool { low == high && low == (low & 0xFF) &* 0x0101_0101_0101_0101 }
}
