// SPDX-License-Identifier: Apache-2.0
// A segment of a log is never written over, whatever else goes wrong.

import CLTP
import CLTPSystem
import LTPTestSupport
import Testing

@testable import LTPStorage

@Suite("Renaming", .guarded)
struct RenameTests {
  /// The error of a rename over a file that is there; nil: it was replaced.
  private func replacing<Device: StorageDevice & ~Copyable>(
    _ device: inout Device, _ replaces: Bool
  ) throws -> Int32? {
    let (from, to) = (ChainNaming.trace.name(of: .prepared(3)), ChainNaming.trace.name(of: .segment(3)))
    for name in [from, to] {
      let handle: Int32
      do throws(StorageFault) { handle = try device.open(name, OpenMode(creates: true)) } catch {
        guard error.code == LTP_SYSTEM_EEXIST else { throw error }
        continue
      }
      device.close(handle)
    }
    do throws(StorageFault) { try device.rename(from, to: to, replaces: replaces) } catch {
      return error.code
    }
    return nil
  }

  @Test("a file in the way is replaced only where that is meant, by the system and by the simulator alike")
  func rename() throws {
    let directory = TemporaryDirectory()
    var system = try SystemStorage(
      path: directory.path, storage: LTP_STORAGE_PWRITEV, queueDepth: 2, bufferCount: 1)
    #expect(try replacing(&system, false) == LTP_SYSTEM_EEXIST)
    #expect(try replacing(&system, true) == nil)
    var simulated = SimulatedStorage(SimulatedDisk(seed: TestSeed.value(1)))
    #expect(try replacing(&simulated, false) == LTP_SYSTEM_EEXIST)
    #expect(try replacing(&simulated, true) == nil)
  }
}
