// SPDX-License-Identifier: Apache-2.0
// An orientation page's file, checked and mapped: what it is, whose it is, and who may write it.

import CLTP
import CLTPSystem
package import LTPOrientation

package struct PageFault: Error {
  package let status: Int32
  /// errno; 0: none.
  package let code: Int32

  init(_ status: Int32, code: Int32 = 0) {
    self.status = status
    self.code = code
  }
}

/// A mapped page. Copies refer to the same mapping, which `release` ends.
package struct MappedPage {
  private static let triesMax = 8
  private static let writableByOthers: UInt32 = 0o022

  package let page: OrientationPage
  private let base: UnsafeMutableRawPointer
  /// Holds the publisher's lock; -1: a reader's.
  private let descriptor: Int32

  /// For reading. `anyOwner`: not only this user's and root's.
  package static func reading(_ path: UnsafePointer<CChar>, anyOwner: Bool) throws(PageFault) -> MappedPage {
    let descriptor = ltp_system_open_path(path, LTP_SYSTEM_READ_ONLY, 0)
    guard descriptor >= 0 else { throw PageFault(LTP_ERROR_PAGE_FILE, code: -descriptor) }
    defer { _ = ltp_system_close(descriptor) }
    let facts = try checkedFacts(descriptor)
    guard anyOwner || facts.owner == ltp_system_user() || facts.owner == 0 else {
      throw PageFault(LTP_ERROR_PAGE_OWNER)
    }
    guard facts.size == UInt64(LTP_PAGE_BYTES) else { throw PageFault(LTP_ERROR_PAGE_FORMAT) }
    let mapped = try MappedPage(descriptor: descriptor, isWritable: false)
    do throws(PageFault) { try mapped.checkFormat() } catch {
      mapped.release()
      throw error
    }
    return mapped
  }

  /// For publishing, under the file's lock; made if it is missing.
  package static func publishing(_ path: UnsafePointer<CChar>) throws(PageFault) -> MappedPage {
    for _ in 0..<triesMax {
      let descriptor = try openOrMake(path)
      do throws(PageFault) {
        let facts = try checkedFacts(descriptor)
        guard facts.owner == ltp_system_user() else { throw PageFault(LTP_ERROR_PAGE_OWNER) }
        let locked = ltp_system_lock(descriptor)
        guard locked == 0 else {
          let isTaken = locked == -LTP_SYSTEM_EAGAIN
          throw PageFault(isTaken ? LTP_ERROR_PAGE_LOCKED : LTP_ERROR_PAGE_FILE, code: isTaken ? 0 : -locked)
        }
        if try isStill(facts, at: path) { return try prepared(descriptor) }
      } catch {
        _ = ltp_system_close(descriptor)
        throw error
      }
      // Somebody removed the file while we took its lock: nobody would read what we publish there.
      _ = ltp_system_close(descriptor)
    }
    throw PageFault(LTP_ERROR_PAGE_LOCKED)
  }

  private static func openOrMake(_ path: UnsafePointer<CChar>) throws(PageFault) -> Int32 {
    var result = ltp_system_open_path(path, LTP_SYSTEM_CREATE, 0o644)
    if result == -LTP_SYSTEM_EEXIST { result = ltp_system_open_path(path, 0, 0) }
    guard result < 0 else { return result }
    if result == -LTP_SYSTEM_EACCES, belongsToAnother(path) { throw PageFault(LTP_ERROR_PAGE_OWNER) }
    throw PageFault(LTP_ERROR_PAGE_FILE, code: -result)
  }

  private static func belongsToAnother(_ path: UnsafePointer<CChar>) -> Bool {
    let descriptor = ltp_system_open_path(path, LTP_SYSTEM_READ_ONLY, 0)
    guard descriptor >= 0 else { return false }
    defer { _ = ltp_system_close(descriptor) }
    var facts = ltp_system_facts()
    return ltp_system_facts_of(descriptor, &facts) == 0 && facts.owner != ltp_system_user()
  }

  private static func checkedFacts(_ descriptor: Int32) throws(PageFault) -> ltp_system_facts {
    var facts = ltp_system_facts()
    let result = ltp_system_facts_of(descriptor, &facts)
    guard result == 0 else { throw PageFault(LTP_ERROR_PAGE_FILE, code: -result) }
    guard facts.is_regular != 0 else { throw PageFault(LTP_ERROR_PAGE_FORMAT) }
    guard facts.mode & writableByOthers == 0 else { throw PageFault(LTP_ERROR_PAGE_WRITABLE) }
    return facts
  }

  private static func isStill(
    _ facts: ltp_system_facts, at path: UnsafePointer<CChar>
  ) throws(PageFault) -> Bool {
    let descriptor = ltp_system_open_path(path, LTP_SYSTEM_READ_ONLY, 0)
    if descriptor == -LTP_SYSTEM_ENOENT { return false }
    guard descriptor >= 0 else { throw PageFault(LTP_ERROR_PAGE_FILE, code: -descriptor) }
    defer { _ = ltp_system_close(descriptor) }
    let found = try checkedFacts(descriptor)
    return found.inode == facts.inode && found.device == facts.device
  }

  /// Maps the locked file; makes a page of one that is empty or blank.
  private static func prepared(_ descriptor: Int32) throws(PageFault) -> MappedPage {
    let size = ltp_system_size(descriptor)
    if size == 0 { try fillWithZeros(descriptor) }
    guard size == 0 || size == Int64(LTP_PAGE_BYTES) else { throw PageFault(LTP_ERROR_PAGE_FORMAT) }
    let mapped = try MappedPage(descriptor: descriptor, isWritable: true)
    if mapped.page.isBlank { mapped.page.format() }
    do throws(PageFault) { try mapped.checkFormat() } catch {
      ltp_system_unmap(mapped.base, Int(LTP_PAGE_BYTES))
      throw error
    }
    mapped.page.enterBoot()
    return mapped
  }

  /// Written, not only sized: a full file system says so now, and not by a signal at the first store.
  private static func fillWithZeros(_ descriptor: Int32) throws(PageFault) {
    guard let zeros = ltp_system_map(Int(LTP_PAGE_BYTES), 0) else { throw PageFault(LTP_ERROR_NO_MEMORY) }
    defer { ltp_system_unmap(zeros, Int(LTP_PAGE_BYTES)) }
    let put = ltp_system_write_at(descriptor, zeros, Int(LTP_PAGE_BYTES), 0, 0)
    guard put == Int64(LTP_PAGE_BYTES) else {
      throw PageFault(LTP_ERROR_PAGE_FILE, code: put < 0 ? Int32(-put) : LTP_SYSTEM_ENOSPC)
    }
  }

  private init(descriptor: Int32, isWritable: Bool) throws(PageFault) {
    var boot: (UInt64, UInt64) = (0, 0)
    let result = withUnsafeMutableBytes(of: &boot) {
      ltp_system_boot_id($0.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
    guard result == 0 else { throw PageFault(LTP_ERROR_PAGE_FILE, code: -result) }
    guard let base = ltp_system_map_file(descriptor, Int(LTP_PAGE_BYTES), isWritable ? 1 : 0) else {
      throw PageFault(LTP_ERROR_NO_MEMORY)
    }
    self.base = base
    self.descriptor = isWritable ? descriptor : -1
    page = withUnsafeBytes(of: boot) { OrientationPage(base, boot: $0.baseAddress!) }
  }

  private func checkFormat() throws(PageFault) {
    guard page.formatStatus == LTP_OK else { throw PageFault(page.formatStatus) }
  }

  package func release() {
    ltp_system_unmap(base, Int(LTP_PAGE_BYTES))
    guard descriptor >= 0 else { return }
    // At once, even if a child of the host's still has a copy of the descriptor.
    _ = ltp_system_unlock(descriptor)
    _ = ltp_system_close(descriptor)
  }
}
