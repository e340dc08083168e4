// SPDX-License-Identifier: Apache-2.0
// How far a log has used up its numbers, from its last segment alone.

import CLTP
import Foundation
import LTPTestSupport
import Testing

@testable import LTPInspect
@testable import ltp

@Suite("A log's numbers", .guarded)
struct LogNumbersTests {
  @Test("runs, lanes and policies are those of the whole log, whichever segment is last")
  func numbers() throws {
    for segments in 1...3 {
      let directory = TemporaryDirectory()
      let trace = TraceBuilder.healthy(segments: segments, blocks: 2)
      trace.write(to: directory)
      let numbers = try LogNumbers(ofTraceIn: directory.path)
      #expect(numbers.runs == 1 && numbers.policies == 1 && numbers.lanes >= 1, "\(segments): \(numbers)")
    }
  }

  @Test("a segment that is cut or made of garbage ends the reading, and nothing is made up")
  func damaged() throws {
    let directory = TemporaryDirectory()
    TraceBuilder.healthy(segments: 1, blocks: 2).write(to: directory)
    let name = TraceBuilder.name(0)
    let whole = directory.read(name)
    var random = TestSeed.random(5)
    for _ in 0..<200 {
      var bytes = Array(whole[..<random.below(whole.count + 1)])
      for _ in 0..<random.below(20) where !bytes.isEmpty {
        bytes[random.below(min(bytes.count, 600))] = UInt8(truncatingIfNeeded: random.next())
      }
      directory.write(bytes, to: name)
      _ = try LogNumbers(ofTraceIn: directory.path)
    }
    directory.write([], to: name)
    #expect(try LogNumbers(ofTraceIn: directory.path) == LogNumbers(runs: 0, lanes: 0, policies: 0))
  }

  @Test("doctor warns when few are left, and says what to do")
  func doctor() throws {
    var numbers = LogNumbers(runs: 7, lanes: 20, policies: 0)
    let good = DoctorNumbers.finding(numbers)
    #expect(good.level == .ok && good.found.contains("7 runs") && good.found.contains("20 lanes"))
    numbers.policies = UInt32.max - 41
    let low = DoctorNumbers.finding(numbers)
    #expect(low.level == .warn && low.found == "41 policies left" && low.change.contains("new trace"))
    #expect(DoctorNumbers(directory: TemporaryDirectory().path).findings().isEmpty)
  }
}
