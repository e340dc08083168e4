// SPDX-License-Identifier: Apache-2.0
// `ltp inspect timeline`, `outcome`, and `ltp deferred`: what they tell of a flicker of the database.

import CLTP
import Foundation
import LTPLibrary
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("ltp inspect timeline, outcome; ltp deferred", .guarded)
struct ReaderTests {
  private func flicker(endsAll: Bool = true) throws -> (FlickerTrace, TemporaryDirectory) {
    let directory = TemporaryDirectory()
    var trace = FlickerTrace()
    try trace.run(in: directory.path, endsAll: endsAll)
    return (trace, directory)
  }

  @Test("the phases of a flicker, with evidence, frames and counts")
  func phases() throws {
    let (trace, directory) = try flicker()
    let report = try Inspector(directory.path).timeline()
    #expect(report.inspection.isGood)
    #expect(
      report.phases.map(\.title) == [
        "Nothing known yet", "Stability", "Degradation", "Deferral window", "Recovery", "Resolution",
      ])
    #expect(report.phases[2].transition?.evidence.first?.threshold == 5_000_000)
    let window = report.phases[3]
    #expect(window.counts.contains { $0.reason == "SYSTEM_UNSTABLE" && $0.count == UInt64(trace.orders) })
    #expect(window.frames?.first == "\(FlickerTrace.firstFrame)")
    #expect(window.examples.contains { $0.commitment == "Will retry when state == STABLE" })
    let replays = report.phases.flatMap(\.counts).filter { $0.isReplay && $0.verdict == "EXECUTE" }
    #expect(replays.reduce(0) { $0 + $1.count } == UInt64(trace.orders - 2))
  }

  @Test("a deferred frame is followed from its request to its end")
  func story() throws {
    let (trace, directory) = try flicker()
    let report = try Inspector(directory.path).timeline(frame: FlickerTrace.firstFrame)
    #expect(report.stories.count == 1)
    let story = try #require(report.stories.first)
    #expect(story.ticket == "\(trace.replayed)" && story.end == "CARRIED_OUT")
    let text = story.events.map(\.text).joined(separator: "\n")
    for part in [
      "route_request -> DEFER SYSTEM_UNSTABLE", "commitment \"Will retry when state == STABLE\"",
      "sent again",
      "handed out, attempt 1", "of LTP_SESSION_REPLAY: route_request, original_frame_id 1055",
      "-> EXECUTE ADMITTED",
      "committed",
    ] {
      #expect(text.contains(part), "\(part)")
    }
  }

  @Test("the outcome adds up, and nothing is lost")
  func outcome() throws {
    let (trace, directory) = try flicker()
    let figures = try Inspector(directory.path).outcome().figures
    let orders = UInt64(trace.orders)
    #expect(figures.received == figures.executed + figures.denied + figures.deferred)
    #expect(figures.deferred == orders + 1 && figures.kept == orders && figures.sentAgain == 1)
    #expect(figures.replayed == orders - 2 && figures.committed == orders - 3)
    #expect(figures.cancelled == 1 && figures.expired == 1 && figures.abandoned == 1)
    #expect(figures.lost == 0 && figures.pending == 0 && figures.errors == 0)
    let waits = try #require(figures.waits)
    #expect(waits.count == orders - 3 && waits.medianSeconds <= waits.p99Seconds)
    #expect(waits.longestSeconds >= waits.p99Seconds && waits.longestSeconds <= figures.longestWaitSeconds)
  }

  @Test("traces that keep no intents have a timeline, an outcome and an audit as well")
  func withoutDeferral() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    #expect(try Inspector(directory.path).timeline().inspection.isGood)
    let figures = try Inspector(directory.path).outcome().figures
    #expect(figures.received == figures.executed + figures.denied + figures.deferred)
    #expect(figures.advised == figures.deferred && figures.lost == 0)
    let audit = try Inspector(directory.path).audit()
    // Its builder writes no hellos for some that act.
    #expect(audit.failures == (try Inspector(directory.path).violations().inspection.violations))
    #expect(!audit.hasDeferralLog)
  }

  @Test("deferred list and show read the trace; release makes an intent due; cancel and expire end one, once")
  func deferred() throws {
    let (trace, directory) = try flicker(endsAll: false)
    func run(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(["deferred"] + arguments) }
    let list = try run("list", directory.path, "--json")
    #expect(list.status == 0, "\(list)")
    let object = try JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [String: Any]
    #expect(object?["pending"] as? Int == trace.orders - 2)
    #expect(object?["session_count"] as? Int == trace.orders - 2)
    #expect(try run("show", directory.path, "\(trace.replayed)").output.contains("end         none yet"))
    let release = try run("release", directory.path, "\(trace.replayed)")
    #expect(release.status == 0 && release.output == "intent \(trace.replayed): due\n", "\(release)")
    #expect(try run("show", directory.path, "\(trace.replayed)").output.contains("made due by an operator"))
    let cancel = try run("cancel", directory.path, "\(trace.replayed)")
    #expect(cancel.status == 0, "\(cancel)")
    let ended = try run("release", directory.path, "\(trace.replayed)")
    #expect(ended.status == 1 && ended.errors.contains("is not pending"), "\(ended)")
    #expect(try run("release", directory.path, "12345").status == 1)
    #expect(try run("release", "\(directory.path)/none", "12345").status == 2)
    #expect(try run("cancel", directory.path, "\(trace.replayed)").status == 1)
    #expect(try run("expire", directory.path, "\(trace.abandoned)").status == 0)
    let show = try run("show", directory.path, "\(trace.replayed)")
    #expect(show.status == 0 && show.output.contains("end         CANCELLED"))
    #expect(try run("show", directory.path, "12345").status == 1)
    let verified = try Inspector(directory.path).verify()
    #expect(verified.violations == [])
    #expect(try Inspector(directory.path).intents().pending == UInt64(trace.orders - 4))
  }

  @Test("a log that is open: list and show work, cancel and release refuse and say who must do it")
  func open() throws {
    let (trace, directory) = try flicker(endsAll: false)
    let core = try FlickerTrace.open(directory.path)
    let list = try Tool.run(["deferred", "list", directory.path])
    #expect(list.status == 0 && list.output.contains("pending   \(trace.orders - 2)"), "\(list)")
    #expect(try Tool.run(["deferred", "show", directory.path, "\(trace.replayed)"]).status == 0)
    let cancel = try Tool.run(["deferred", "cancel", directory.path, "\(trace.replayed)"])
    #expect(cancel.status == 2 && cancel.errors.contains("ltp_intent_end"), "\(cancel)")
    let release = try Tool.run(["deferred", "release", directory.path, "\(trace.replayed)"])
    #expect(release.status == 2 && release.errors.contains("ltp_intent_hasten"), "\(release)")
    #expect(ltp_core_close(core, 10_000_000_000, nil) == LTP_OK)
  }

  @Test("what comes from the trace is escaped in a page")
  func escaping() throws {
    let directory = TemporaryDirectory()
    let trace = TraceBuilder()
    trace.open()
    trace.publish(LTP_STATE_HEALTHY, text: "<script>alert('1')</script> & \"x\"")
    trace.lane(1, trace.decide(8))
    trace.close()
    trace.write(to: directory)
    let other = TemporaryDirectory()
    let page = "\(other.path)/page.html"
    #expect(try Tool.run(["inspect", "timeline", directory.path, "--html", page]).status == 0)
    let html = String(decoding: FileManager.default.contents(atPath: page) ?? Data(), as: UTF8.self)
    #expect(html.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;"))
    #expect(!html.contains("<script"))
  }

  @Test("buckets double in width, and no count goes")
  func buckets() {
    var buckets = TimeBuckets()
    let start: UInt64 = 1_772_355_907_000_000_000
    var random = TestSeed.random(11)
    for _ in 0..<5000 {
      buckets.add(start + UInt64.random(in: 0...86_400_000_000_000, using: &random)) { $0.denied += 1 }
    }
    for time in [start - 3_600_000_000_000, 0, UInt64.max] { buckets.add(time) { $0.executed += 1 } }
    #expect(buckets.buckets.count <= TimeBuckets.bucketsMax)
    #expect(buckets.buckets.reduce(0) { $0 + $1.total } == 5003)
  }

  @Test("quantiles of waits are right to a sixteenth")
  func waits() {
    var waits = WaitHistogram()
    for milliseconds in 1...1000 { waits.add(UInt64(milliseconds) * 1_000_000) }
    waits.add(.max)
    let median = Double(waits.quantile(0.5)!) / 1e6
    #expect(abs(median - 500) < 500 / 15)
    #expect(waits.quantile(1)! > .max / 2 && waits.longestNanoseconds == .max)
  }
}
