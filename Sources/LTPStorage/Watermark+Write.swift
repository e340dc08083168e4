// SPDX-License-Identifier: Apache-2.0
// Writes the watermark through the storage seam.

import CLTP
import CLTPSystem
import LTPRecords

extension Watermark {
  static func write<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, handle: Int32, logID: LogID, durableBlocks: UInt64
  ) throws(StorageFault) {
    guard let mark = sealed(logID: logID, durableBlocks: durableBlocks) else {
      throw StorageFault(.write, code: LTP_SYSTEM_ENOMEM)
    }
    let result: Result<Void, StorageFault> = withUnsafeBytes(of: mark) { bytes in
      do throws(StorageFault) {
        try device.write(handle, from: bytes.baseAddress!, count: bytes.count, offset: 0)
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }
}
