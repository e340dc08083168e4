// SPDX-License-Identifier: Apache-2.0
// What the core reads of the system by itself.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPOrientation

@Suite("The system, observed", .guarded)
struct SystemObserverTests {
  @Test("pressure that cannot be read any more is UNKNOWN")
  func vanished() {
    var driven = Driven(
      rules { $0.flags = LTP_OBSERVE_PRESSURE }.withWatchedPressure(clockInterval: millisecond))
    let watched = [LTP_SIGNAL_MEMORY_PRESSURE, LTP_SIGNAL_CPU_PRESSURE, LTP_SIGNAL_IO_PRESSURE]
    for _ in 0..<70 {
      for signal in watched { driven.push(signal, 0) }
      driven.run(100)
    }
    #expect(driven.state == LTP_STATE_HEALTHY)
    driven.run(1001)
    #expect(
      driven.state == LTP_STATE_UNKNOWN && driven.transitions.last!.reason == LTP_SIGNAL_ORIENTATION_LOST)
    #expect(
      rules().withWatchedPressure(clockInterval: millisecond).rule(Int(LTP_SIGNAL_CPU_PRESSURE)).stale_ns == 0
    )
  }

  @Test("the control group's memory: where its files are, and how tight it is")
  func memoryLimit() {
    func path(_ text: String, isUnified: Bool) -> String? {
      var text = text
      return text.withUTF8 { bytes in
        let raw = UnsafeRawBufferPointer(bytes)
        return MemoryLimit.groupPath(in: raw, isUnified: isUnified).map {
          String(decoding: raw[$0...].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        }
      }
    }
    let mixed = "9:name=systemd:/s\n4:cpu,memory:/a:b/c\n3:memoryless:/x\n0::/user.slice\n"
    #expect(path(mixed, isUnified: true) == "/user.slice")
    #expect(path(mixed, isUnified: false) == "/a:b/c")
    #expect(path("3:memoryless:/x\n1:cpu:/memory\n", isUnified: false) == nil)
    #expect(path("", isUnified: true) == nil && path("4:memory", isUnified: false) == nil)
    #expect(path("4:memory:", isUnified: false) == "")
    #expect(MemoryLimit.pressure(used: 5, limit: nil) == 0)
    #expect(MemoryLimit.pressure(used: 900, limit: 1000) == 0)
    #expect(MemoryLimit.pressure(used: 950, limit: 1000) == 5000)
    #expect(MemoryLimit.pressure(used: 2000, limit: 1000) == 10_000)
    #expect(MemoryLimit.pressure(used: .max, limit: 1 << 59) == 10_000)
    #expect(MemoryLimit.pressure(used: 5, limit: 0) == 0)
  }

  @Test("pressure files: the number that counts, and what is none")
  func pressure() {
    func total(_ text: String) -> UInt64? {
      var text = text
      return text.withUTF8 { PressureFile.total(in: UnsafeRawBufferPointer($0)) }
    }
    #expect(total("some avg10=0.12 avg60=0.00 avg300=0.00 total=4711\nfull avg10=0.00 total=9\n") == 4711)
    #expect(total("some total=0") == 0)
    #expect(total("full avg10=0.00 total=9\n") == nil)
    #expect(total("some avg10=0.12\nfull total=9\n") == nil)
    #expect(total("some total=\n") == nil)
    #expect(total("some total=99999999999999999999999\n") == nil)
    #expect(total("") == nil)
  }
}
