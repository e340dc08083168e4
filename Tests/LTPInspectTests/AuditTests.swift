// SPDX-License-Identifier: Apache-2.0
// `ltp inspect audit`: what a core leaves passes; what a forger makes of it fails, and the first record is named.

import CLTP
import Foundation
import LTPLibrary
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("ltp inspect audit", .guarded)
struct AuditTests {
  private func flicker(endsAll: Bool = true) throws -> (FlickerTrace, TemporaryDirectory) {
    let directory = TemporaryDirectory()
    var trace = FlickerTrace()
    try trace.run(in: directory.path, endsAll: endsAll)
    return (trace, directory)
  }

  @Test("an untouched trace passes, with its outage and its figures")
  func good() throws {
    let (trace, directory) = try flicker()
    let report = try Inspector(directory.path).audit()
    #expect(report.failures == [])
    #expect(report.passes && report.checks.allSatisfy { $0.passed == true })
    #expect(report.outages.count == 1)
    #expect(report.outages[0].states == ["UNSTABLE"])
    #expect(report.outages[0].cause?.evidence.first?.value == 6_200_000)
    #expect(report.outages[0].cause?.text == "DB Write Latency > 5000ms")
    #expect(report.outages[0].end?.to == "RECOVERING")
    #expect(report.safeMode.deferred == UInt64(trace.orders) + 1)
    #expect(report.safeMode.executed == 8)
    #expect(report.safeMode.riskyByRule == 0 && report.safeMode.riskyAgainstRule == 0)
    #expect(report.deferral.kept == UInt64(trace.orders))
    #expect(report.unended == 0)
    #expect(report.redecided > 0 && report.redecidedDifferently == 0)
    #expect(report.policies.count == 1)
    #expect(report.inspection.scan.hashRoot.count == 64)
    #expect(!report.inspection.notes.contains { $0.contains("deferred-") })
  }

  @Test("an intent that waits at the end is a failure, unless that is allowed")
  func pending() throws {
    let (trace, directory) = try flicker(endsAll: false)
    let report = try Inspector(directory.path).audit()
    #expect(report.failureCount == UInt64(trace.orders - 2))
    #expect(report.first?.frame == "\(FlickerTrace.firstFrame)")
    #expect(try Inspector(directory.path).audit(allowsPending: true).passes)
  }

  /// Takes the record of the first order's commit out of the trace.
  private func withoutEnd(
    _ directory: TemporaryDirectory, _ ticket: UInt64, isCareful: Bool
  ) throws {
    var removed: UInt64 = 0
    try Resealer.forge(directory) { lane, body in
      guard lane == LTP_CONTROL_LANE else { return }
      var gone: Range<Int>?
      for (kind, bytes) in Resealer.controlRecords(body) {
        switch kind {
        case LTP_RECORD_STEP:
          Resealer.edit(&body, at: bytes.lowerBound, as: ltp_step_record.self) { step in
            if step.ticket == ticket, step.step == LTP_STEP_COMMITTED {
              gone = bytes
              removed = 1
            } else if isCareful {
              step.sequence -= removed
            }
          }
        case LTP_RECORD_INTENT where isCareful:
          Resealer.edit(&body, at: bytes.lowerBound, as: ltp_intent_record.self) { $0.sequence -= removed }
        case LTP_RECORD_DEFERRAL where isCareful:
          Resealer.edit(&body, at: bytes.lowerBound, as: ltp_deferral_record.self) { said in
            said.sequence -= removed
            said.pending_count += removed
            said.ended_count -= removed
            said.proof_sequence = min(said.proof_sequence, said.sequence)
          }
        default: break
        }
      }
      if let gone { body.removeSubrange(gone) }
    }
    #expect(removed == 1)
  }

  @Test(
    "an end that is taken out, and the chain sealed again, fails and names the frame",
    arguments: [false, true])
  func forgedEnd(isCareful: Bool) throws {
    let (trace, directory) = try flicker()
    try withoutEnd(directory, trace.replayed, isCareful: isCareful)
    let report = try Inspector(directory.path).audit()
    #expect(!report.passes)
    // The forger was careful: the rest of the trace agrees with it.
    if isCareful { #expect(report.failureCount == 1, "\(report.failures)") }
    #expect(report.checks.filter { $0.passed != true }.map(\.name) == ["every DEFER has its end"])
    #expect(report.first?.frame == "\(FlickerTrace.firstFrame)")
    #expect(report.first?.session == "\(FlickerTrace.firstFrame + FlickerTrace.sessionOffset)")
    #expect(report.first?.message.contains("has no end in the trace") == true)
    let outcome = try Inspector(directory.path).outcome()
    #expect(outcome.figures.lost == (isCareful ? 0 : 1))
    #expect(outcome.figures.pending == (isCareful ? 1 : 0))
  }

  @Test(
    "a DEFER that is made an EXECUTE, and the chain sealed again, fails and names the frame",
    arguments: [false, true])
  func forgedVerdict(isCareful: Bool) throws {
    let (trace, directory) = try flicker()
    let frame = FlickerTrace.firstFrame + 5
    var changed = 0
    try Resealer.forge(directory) { lane, body in
      guard lane != LTP_CONTROL_LANE else { return }
      var kept: Int?
      for offset in stride(from: 0, to: body.count, by: 32) where body[offset] == LTP_RECORD_DECISION {
        Resealer.edit(&body, at: offset, as: ltp_decision_record.self) { decision in
          guard decision.frame_id == frame else { return }
          decision.outcome = Outcome(verdict: LTP_VERDICT_EXECUTE, reason: LTP_REASON_ADMITTED).rawValue
          decision.retry_and_shadow = 0
          changed += 1
          guard isCareful else { return }
          decision.inputs &= ~LTP_INPUT_KEPT
          kept = offset + 32
        }
      }
      if let kept { body.removeSubrange(kept..<kept + 32) }
    }
    #expect(changed == 1 && trace.orders > 5)
    let report = try Inspector(directory.path).audit()
    #expect(!report.passes)
    #expect(report.safeMode.riskyAgainstRule == 1)
    #expect(report.redecidedDifferently == 1)
    #expect(report.first?.frame == "\(frame)")
    #expect(report.first?.session == "\(frame + FlickerTrace.sessionOffset)")
    #expect(report.failures.contains { $0.kind == .outage })
    #expect(report.failures.contains { $0.kind == .redecide })
  }

  @Test("a DEFER that kept nothing, in a run that keeps intents, fails")
  func unkept() throws {
    let (_, directory) = try flicker()
    let frame = FlickerTrace.firstFrame + 4
    try Resealer.forge(directory) { lane, body in
      guard lane != LTP_CONTROL_LANE else { return }
      var kept: Int?
      for offset in stride(from: 0, to: body.count, by: 32) where body[offset] == LTP_RECORD_DECISION {
        Resealer.edit(&body, at: offset, as: ltp_decision_record.self) { decision in
          guard decision.frame_id == frame else { return }
          decision.inputs &= ~LTP_INPUT_KEPT
          kept = offset + 32
        }
      }
      if let kept { body.removeSubrange(kept..<kept + 32) }
    }
    let report = try Inspector(directory.path).audit()
    #expect(report.deferral.deferredUnkept == 1)
    #expect(report.failures.contains { $0.message.contains("no intent was kept") })
    #expect(try Inspector(directory.path).outcome().figures.lost == 1)
  }

  @Test("where the chain breaks, that is the first failure, and what lies behind is not judged")
  func brokenChain() throws {
    let (_, directory) = try flicker(endsAll: false)
    // The middle of the trace, in a body: the orders have been kept by then.
    let name = "0000000000000000.ltp"
    let bytes = directory.read(name)
    var (offset, blocks) = (0, [Int]())
    while offset + 256 <= bytes.count, bytes[offset] != 0 {
      blocks.append(offset)
      offset += bytes.withUnsafeBytes { BlockHeader($0.baseAddress! + offset).sizeBytes }
    }
    directory.patch(name, at: blocks[blocks.count * 3 / 4] + 300) { $0 ^ 1 }
    let report = try Inspector(directory.path).audit()
    #expect(report.failureCount == 1 && report.first?.kind == .chain)
    #expect(report.checks.map(\.passed) == [false] + [Bool?](repeating: nil, count: 6))
  }

  @Test("the tool: PASS and 0, FAIL and 1 with the place, 2 for what is no trace; JSON and the page")
  func tool() throws {
    let (trace, directory) = try flicker()
    let page = "\(directory.path)/audit.html"
    let pass = try Tool.run(["inspect", "audit", directory.path, "--html", page])
    #expect(pass.status == 0)
    #expect(pass.output.hasPrefix("PASS\n"))
    let html = String(decoding: FileManager.default.contents(atPath: page) ?? Data(), as: UTF8.self)
    #expect(html.contains("<svg") && html.contains(">PASS<") && html.contains("DB Write Latency &gt; 5000ms"))
    #expect(!html.contains("<script") && !html.contains("http"))
    try withoutEnd(directory, trace.replayed, isCareful: true)
    let fail = try Tool.run(["inspect", "audit", directory.path, "--json"])
    #expect(fail.status == 1)
    let object = try JSONSerialization.jsonObject(with: Data(fail.output.utf8)) as? [String: Any]
    #expect(object?["result"] as? String == "FAIL")
    let first = object?["first_failure"] as? [String: Any]
    #expect(first?["frame"] as? String == "\(FlickerTrace.firstFrame)")
    #expect((object?["tool"] as? [String: Any])?["abi_version"] as? Int == Int(ltp_abi_version()))
    #expect((object?["hash_root"] as? String)?.count == 64)
    #expect(try Tool.run(["inspect", "audit", "\(directory.path)/none"]).status == 2)
  }
}
