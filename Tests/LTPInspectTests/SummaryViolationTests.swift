// SPDX-License-Identifier: Apache-2.0
// Summaries at a segment's end that are not what its records come to, or that no writer writes.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("wrong summaries in a right chain", .guarded)
struct SummaryViolationTests {
  typealias Change = @Sendable (inout [ltp_counts_record], inout ltp_sealed_record) -> Void

  /// A segment that ends with a summary which `change` has spoiled.
  private static func wrong(
    _ name: String, _ kind: Violation.Kind, _ words: String, _ change: @escaping Change
  ) -> WrongTrace {
    WrongTrace(name, kind, words) { trace in
      trace.lane(1, trace.decide(8), trace.decide(8), trace.decide(200), Records.malformed())
      trace.lane(2, Records.unrecorded(4), shed())
      for actionClass in 64..<UInt8(96) { trace.lane(1, trace.decide(actionClass, token: false)) }
      trace.seal(change)
    }
  }

  private static func shed() -> [UInt8] {
    Records.decision(
      LTP_VERDICT_DENY, LTP_REASON_RATE_LIMITED, actionClass: 9,
      inputs: UInt16(LTP_GATE_TOTAL_RATE) << UInt16(LTP_INPUT_GATE_SHIFT))
  }

  static let wrongs: [WrongTrace] = [
    wrong(
      "a decision too many", .count,
      "says 3 decisions of state HEALTHY, class 8, EXECUTE, ADMITTED, no limit, and there are 2"
    ) {
      counts, _ in counts[0].entries.0.count += 1
    },
    wrong("another state", .count, "says 2 decisions of state FAILED, class 8") { counts, _ in
      counts[0].entries.0.state = LTP_STATE_FAILED
    },
    wrong("another state, and the one that is missing", .count, "says 0 decisions of state HEALTHY, class 8")
    {
      counts, _ in counts[0].entries.0.state = LTP_STATE_FAILED
    },
    wrong("another class", .count, "class 7,") { counts, _ in counts[0].entries.0.action_class = 7 },
    wrong("another verdict", .count, "class (unknown), DEFER") { counts, _ in
      counts[0].entries.1.outcome |= LTP_VERDICT_DEFER << 6
    },
    wrong("another reason", .count, "class (malformed), DENY, POLICY_FORBIDS") { counts, _ in
      counts[0].entries.2.outcome = LTP_REASON_POLICY_FORBIDS
    },
    wrong("another limit", .count, "RATE_LIMITED, limit by-shedding") { counts, _ in
      counts[0].entries.3.gate = LTP_GATE_SHED
    },
    wrong("an entry left out", .count, "says 0 decisions") { counts, sealed in
      let end = Int(counts[2].entry_count - 1)
      counts[2].entry_count -= 1
      withUnsafeMutableBytes(of: &counts[2].entries) {
        $0.bindMemory(to: ltp_counts_entry.self)[end] = ltp_counts_entry()
      }
      sealed.counts_entries -= 1
    },
    wrong("SEALED without its COUNTS", .count, "without COUNTS records, and there are 36 kinds") {
      counts, sealed in
      counts = []
      sealed.counts_entries = 0
    },
    wrong("SEALED says other entries", .count, "says 37 entries, and 36 are before it") {
      $1.counts_entries += 1
    },
    wrong("an earlier first decision", .count, "as the time of the first decision") { $1.first_unix_ns -= 1 },
    wrong("a later last decision", .count, "as the time of the last decision") { $1.last_unix_ns += 1 },
    wrong("a transition too many", .count, "says 3 transitions in this segment, and it is 2") {
      $1.transition_count += 1
    },
    wrong("unrecorded denials", .count, "says 3 unrecorded denials") { $1.unrecorded_count -= 1 },
    wrong("an entry repeated", .record, "entry 2 of the COUNTS record repeats one: state HEALTHY, class 8") {
      counts, _ in
      counts[0].entries.1 = counts[0].entries.0
    },
    wrong("a state that there is not", .record, "entry 1 of the COUNTS record has state 7") { counts, _ in
      counts[0].entries.0.state = LTP_STATE_COUNT.asByte
    },
    wrong("an outcome that there is not", .record, "verdict 3 with reason 1, which is no outcome") {
      counts, _ in
      counts[0].entries.0.outcome = 3 << 6 | 1
    },
    wrong("a limit that there is not", .record, "has limit 7") { counts, _ in
      counts[0].entries.3.gate = LTP_GATE_COUNT.asByte
    },
    wrong("an EXECUTE that a limit refused", .record, "an EXECUTE that a limit refused") { counts, _ in
      counts[0].entries.0.gate = LTP_GATE_SHED
    },
    wrong("an unknown class by its number", .record, "class 200, which counts as an unknown one") {
      counts, _ in
      counts[0].entries.1.action_class = 200
    },
    wrong("a count of 0", .record, "entry 1 of the COUNTS record has a count of 0") { counts, _ in
      counts[0].entries.0.count = 0
    },
    wrong("a reserved byte of an entry", .record, "a reserved byte that is not zero") { counts, _ in
      counts[0].entries.0.reserved.1 = 1
    },
    wrong("a reserved byte of COUNTS", .record, "reserved byte \(LTP_AT_counts_record_reserved)") {
      counts, _ in
      counts[0].reserved = 1
    },
    wrong("a reserved byte of SEALED", .record, "reserved byte \(LTP_AT_sealed_record_reserved)") {
      $1.reserved = 1
    },
    wrong("an entry that is not used and not zero", .record, "entry 15 of the COUNTS record is not used") {
      counts, _ in
      counts[2].entries.14.gate = 1
    },
    wrong("no entries", .record, "a COUNTS record of 0 entries") { counts, _ in counts[1].entry_count = 0 },
    wrong("more entries than there is room for", .record, "a COUNTS record of 4294967295 entries") {
      counts, _ in
      counts[1].entry_count = .max
    },
    wrong("a record with room before another", .record, "follows one that had room") { counts, _ in
      counts.swapAt(1, 2)
    },
    .init("COUNTS without SEALED", .record, "no SEALED record follows the COUNTS records") { trace in
      trace.control(Records.counts())
      trace.lane(1, trace.decide(8))
    },
    .init("another record between COUNTS and SEALED", .record, "no SEALED record follows the COUNTS records")
    { trace in
      trace.control(Records.counts(), Records.text(id: 1, "a"))
    },
  ]

  @Test("a wrong summary is found, and named", arguments: wrongs)
  func finds(_ wrong: WrongTrace) throws {
    let report = try wrong.report()
    let match = report.violations.first { $0.kind == wrong.kind && $0.message.contains(wrong.words) }
    #expect(match != nil, "\(report.violations.map(\.text))")
  }

  @Test("a right summary of several records is good")
  func right() throws {
    let report = try Self.wrong("right", .count, "") { counts, _ in #expect(counts.count == 3) }.report()
    #expect(report.violations.isEmpty, "\(report.violations.map(\.text))")
  }

  @Test("a summary is of its own segment alone")
  func segments() throws {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder.healthy(segments: 4, blocks: 3)
    trace.seal { counts, sealed in
      #expect(counts[0].entries.0.count == 3 && sealed.decision_count == 6)
    }
    trace.write(to: directory)
    #expect(try Inspector(directory.path).verify().violations.isEmpty)
  }
}

extension Int32 {
  fileprivate var asByte: UInt8 { UInt8(self) }
}
