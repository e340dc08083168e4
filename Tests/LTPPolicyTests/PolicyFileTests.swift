// SPDX-License-Identifier: Apache-2.0
// Policy files: what they say, and what is wrong with them, in which line.

import CLTP
import Foundation
import LTP
import LTPPolicy
import LTPTestSupport
import Testing

@Suite("Policy files", .guarded)
struct PolicyFileTests {
  private func parse(_ text: String) throws(PolicyFileError) -> Policy {
    try PolicyFile.parse(Data(text.utf8))
  }

  private func fault(_ text: String) -> PolicyFileError? {
    do throws(PolicyFileError) { _ = try parse(text) } catch { return error }
    return nil
  }

  @Test("what a file does not say is the built-in policy's")
  func builtIn() throws {
    let policy = try parse(#"{"version": 1, "comment": ["anything", 1]}"#)
    let isSame = withUnsafeBytes(of: policy.fields) { one in
      withUnsafeBytes(of: Policy.builtIn.fields) { one.elementsEqual($0) }
    }
    #expect(isSame)
  }

  @Test("thresholds, rules and new classes")
  func changes() throws {
    let policy = try parse(
      """
      {"version": 1, "thresholds": {"STABLE": 7, "SATURATED": 200},
       "classes": [
        {"name": "order_create", "rules": {"UNSTABLE": {"verdict": "DENY", "retry_after_ms": 77}}},
        {"id": 99, "name": "drop_table", "attributes": ["critical", "mutating", "requires_continuity"],
         "rules": {"healthy": {"priority_min": 250, "waive_continuity": true}}}]}
      """)
    #expect(policy.fields.priority_threshold.1 == 7 && policy.fields.priority_threshold.3 == 200)
    let order = policy[.unstable, 25]
    #expect(order.verdict == LTP_VERDICT_DENY && order.reason == LTP_REASON_SYSTEM_UNSTABLE)
    #expect(order.retry_after_ms == 77)
    #expect(
      policy[.healthy, 99].priority_min == 250 && policy[.healthy, 99].flags == LTP_RULE_WAIVE_CONTINUITY)
    #expect(policy[.failed, 99].verdict == LTP_VERDICT_DENY)
    let empty = try parse(
      #"{"version": 1, "base": "empty", "classes": [{"id": 0, "name": "ping", "attributes": ["recovery"]}]}"#)
    #expect(
      empty[.unknown, 0].verdict == LTP_VERDICT_EXECUTE && empty[.healthy, 8].verdict == LTP_VERDICT_DENY)
  }

  @Test(
    "mistakes are named with their line",
    arguments: [
      ("", 1, "the file is empty"), (" ", 1, "not JSON"),
      ("{\n\"version\": 1,\n\"classes\": [}", 3, "not JSON"),
      ("[]", 1, "an object is wanted"),
      ("{}", 1, "\"version\" is missing"), ("{\n\"version\": 2}", 2, "\"version\" is 1"),
      ("{\"version\": 1.5}", 1, "\"version\" is 1"), ("{\"version\": true}", 1, "\"version\" is 1"),
      ("{\"version\": 1,\n}", 1, "a comma with nothing behind it"),
      ("{\"version\": 1, \"classes\": [\n{\"name\": \"read\"},\n\n]}", 2, "a comma with nothing behind it"),
      ("{\"version\": 1, \"classes\": [{\"id\": 90,\n\"name\": \"\"}]}", 2, "the class's name is empty"),
      ("{\"version\": 1,\n\n\"clases\": []}", 3, "\"clases\" means nothing"),
      ("{\"version\": 1,\n\"version\": 1}", 2, "stands here twice"),
      ("{\"version\": 1, \"base\":\n\"full\"}", 1, "\"built-in\" or \"empty\""),
      ("{\"version\": 1, \"thresholds\": {\n\"WELL\": 1}}", 2, "no state is called \"WELL\""),
      ("{\"version\": 1, \"thresholds\": {\n\"HEALTHY\": 256}}", 2, "from 0 to 255"),
      ("{\"version\": 1, \"thresholds\": {\"HEALTHY\": 0,\n\"STABLE\": 200}}", 2, "one state, said twice"),
      ("{\"version\": 1, \"comment\":\n[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]}", 2, "more than 16 deep"),
      ("{\"version\": 1, \"classes\": {}}", 1, "a list of classes"),
      ("{\"version\": 1, \"classes\": [\n{}]}", 2, "has no \"name\""),
      ("{\"version\": 1, \"classes\": [{\n\"name\": \"nobody\"}]}", 2, "needs an \"id\""),
      ("{\"version\": 1, \"classes\": [{\"id\":\n128, \"name\": \"x\"}]}", 1, "from 0 to 127"),
      ("{\"version\": 1, \"classes\": [{\"id\": 90, \"name\": \"x\"}]}", 1, "needs \"attributes\""),
      (
        "{\"version\": 1, \"classes\": [{\"id\": 90, \"name\": \"x\",\n\"attributes\": [\"fast\"]}]}", 2,
        "no attribute is called"
      ),
      ("{\"version\": 1, \"classes\": [{\"id\": 90, \"name\": \"X Y\", \"attributes\": []}]}", 1, "class 90"),
      (
        "{\"version\": 1, \"classes\": [{\"name\": \"read\"},\n{\"name\": \"read\"}]}", 2,
        "said twice, in line 1"
      ),
      (
        "{\"version\": 1, \"classes\": [{\"name\": \"read\", \"rules\": {\n\"FAILED\": {\"verdict\": \"MAYBE\"}}}]}",
        2, "EXECUTE, DENY or DEFER"
      ),
      (
        "{\"version\": 1, \"classes\": [{\"name\": \"read\", \"rules\": {\n\"FAILED\": {\"reason\": \"LAZY\"}}}]}",
        2, "no reason"
      ),
      (
        "{\"version\": 1, \"classes\": [{\"name\": \"read\", \"rules\": {\"FAILED\": {\n\"defer_when_below\": 1}}}]}",
        2, "true or false"
      ),
      (
        "{\"version\": 1, \"classes\": [{\"name\": \"payment\", \"rules\": {\n\n\"FAILED\": {\"verdict\": \"EXECUTE\"}}}]}",
        3, "never list, 1"
      ),
      (
        "{\"version\": 1, \"classes\": [{\"name\": \"read\", \"rules\": {\n\"RECOVERING\": {\"waive_continuity\": true}}}]}",
        2, "never list, 2"
      ),
      (
        "{\"version\": 1, \"classes\": [{\"name\": \"read\", \"rules\": {\n\"UNKNOWN\": {\"verdict\": \"EXECUTE\"}}}]}",
        2, "never list, 3"
      ),
      (
        "{\"version\": 1, \"classes\": [{\"name\": \"read\", \"rules\": {\n\"UNSTABLE\": {\"verdict\": \"DEFER\"}}}]}",
        2, "class 8"
      ),
      ("{\"version\": 1, \"domains\": {\n\"outage\": \"nobody\"}}", 2, "\"domain\", \"service\" or \"both\""),
      ("{\"version\": 1, \"domains\": {\"stay_ms\": 9,\n\"stay_max_ms\": 8}}", 2, "from 9"),
      ("{\"version\": 1, \"limits\": {\n\"totl\": {}}}", 2, "\"totl\" means nothing"),
      ("{\"version\": 1, \"limits\": {\n\"total\": {\"burst\": 5}}}", 2, "needs \"per_second\""),
      (
        "{\"version\": 1, \"limits\": {\n\"total\": {\n\"per_second\": 0}}}", 3,
        "limits.total.per_second: a whole number from 1"
      ),
      ("{\"version\": 1, \"limits\": {\"recovering\":\n{\"per_second\": 5}}}", 1, "\"ramp_ms\" is missing"),
      (
        "{\"version\": 1, \"limits\": {\"concurrency\": {\n\"algorithm\": \"best\"}}}", 2,
        "no algorithm is called"
      ),
      (
        "{\"version\": 1, \"limits\": {\"concurrency\": {\"algorithm\": \"aimd\"}}}", 1,
        "\"initial\" is missing"
      ),
      (
        "{\"version\": 1, \"limits\": {\n\"concurrency\": {\"algorithm\": \"aimd\", \"initial\": 5, \"min\": 6}}}",
        2,
        "min <= initial"
      ),
      ("{\"version\": 1, \"limits\": {\"shedding\": {\n\"signal\": \"OPERATOR\"}}}", 2, "no observation"),
      ("{\"version\": 1, \"limits\": {\"shedding\": {\n\"target\": 5}}}", 2, "of which \"signal\""),
      (
        "{\"version\": 1, \"classes\": [\n{\"name\": \"ping\", \"rate\": {\"per_second\": 5}}]}", 2,
        "for a recovery class"
      ),
      ("{\"version\": 1, \"signals\": {\n\"watch\": []}}", 2, "\"watch\" means nothing"),
      (
        "{\"version\": 1, \"signals\": {\n\"observe\": [\n\"weather\"]}}", 3, "pressure, memory_limit, hellos"
      ),
      ("{\"version\": 1, \"signals\": {\n\"observe\": \"hellos\"}}", 2, "a list of what the core is to read"),
      ("{\"version\": 1, \"signals\": {\n\"state_dwell_ms\": 3600001}}", 2, "from 0 to 3600000"),
      ("{\"version\": 1, \"signals\": {\"rules\": {\n\"OPERATOR\": {}}}}", 2, "no observation is called"),
      (
        "{\"version\": 1, \"signals\": {\"rules\": {\n\"QUORUM_LOST\": {},\n\"quorum_lost\": {}}}}", 3,
        "said twice, in line 2"
      ),
      (
        "{\"version\": 1, \"signals\": {\"rules\": {\n\"METRICS_STABILIZED\": {\"enter\": 1}}}}", 2,
        "\"condition\" is missing"
      ),
      (
        "{\"version\": 1, \"signals\": {\"rules\": {\"QUORUM_LOST\": {\n\"condition\": \"HEALTHY\"}}}}", 2,
        "STRAINED, SATURATED, UNSTABLE, FAILED"
      ),
      (
        "{\"version\": 1, \"signals\": {\"rules\": {\"QUORUM_LOST\": {\"enter\": 1},\n\"IO_PRESSURE\": {\"exit\": 9999}}}}",
        2,
        "signal IO_PRESSURE: an exit beyond the entrance"
      ),
      (
        "{\"version\": 1, \"signals\": {\n\"rules\": {\"QUORUM_LOST\": {\"weight\": 60}}}}", 2,
        "do not weigh 100 together"
      ),
      ("{\"version\": 1, \"signals\": {\n\"rules\": {\"QUORUM_LOST\": 1}}}", 2, "an object is wanted"),
    ])
  func mistakes(_ text: String, _ line: Int, _ words: String) throws {
    let error = try #require(fault(text))
    #expect(error.line == line && error.reason.contains(words), "\(error)")
  }

  @Test("editors may be told of the schema, and commas inside texts are texts")
  func harmless() throws {
    let text = #"{"$schema": "docs/policy.schema.json", "version": 1, "comment": "a,]}", "thresholds": {}}"#
    #expect(try parse(text).fields.version == UInt32(LTP_POLICY_VERSION))
  }

  @Test("a byte order mark is no text, and hides nothing")
  func byteOrder() throws {
    let twice = "{\"version\": 1,\n\"version\": 1}"
    func fault(_ data: Data) -> PolicyFileError? {
      do throws(PolicyFileError) { _ = try PolicyFile.parse(data) } catch { return error }
      return nil
    }
    #expect(fault(Data([0xEF, 0xBB, 0xBF]) + Data(twice.utf8))?.line == 2)
    #expect(fault(Data([0xEF, 0xBB, 0xBF]) + Data("{\"version\": 1}".utf8)) == nil)
    #expect(fault(twice.data(using: .utf16)!) != nil && fault(twice.data(using: .utf32)!) != nil)
  }

  @Test("nesting, size and noise end in an error, not in a crash")
  func hostile() {
    for depth in [100, 511, 513, 400_000] {
      #expect(fault(String(repeating: "[", count: depth)) != nil)
      #expect(fault(String(repeating: "[", count: depth) + String(repeating: "]", count: depth)) != nil)
      #expect(fault(String(repeating: "{\"a\":", count: min(depth, 100_000))) != nil)
    }
    #expect(fault(String(repeating: " ", count: PolicyFile.bytesMax + 1))!.reason.contains("1 MiB"))
    let good = Array(
      #"{"version": 1, "classes": [{"name": "read", "rules": {"FAILED": {"priority_min": 3}}}]}"#.utf8)
    var random = TestSeed.random(1)
    for _ in 0..<3000 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      do {
        try PolicyFile.parse(Data(bytes)).check()
      } catch let error as PolicyFileError {
        #expect(error.line >= 1 && !error.reason.isEmpty)
      } catch {
        Issue.record("parsed, but refused: \(error)")
      }
    }
  }

  @Test("the examples are good", arguments: ["cascade", "edge", "zombie-order", "flicker", "http"])
  func examples(_ name: String) throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
    let data = try Data(contentsOf: root.appendingPathComponent("Examples/policies/\(name).json"))
    try PolicyFile.parse(data).check()
  }

  @Test("limits are read, each into its field, and what is not said has its default")
  func limits() throws {
    let text = """
      { "version": 1,
        "classes": [
          { "name": "read", "rate": { "per_second": 70, "burst": 7 } },
          { "id": 90, "name": "book", "attributes": ["mutating", "permit"] } ],
        "limits": {
          "total": { "per_second": 20000 },
          "tenant": { "per_second": 500, "burst": 50, "only_when_contended": true },
          "recovering": { "per_second": 9000, "ramp_ms": 2000 },
          "concurrency": { "algorithm": "vegas", "initial": 20, "max": 200 },
          "shedding": { "signal": "QUEUE_LATENCY_SPIKE", "target": 5000 },
          "retry_horizon_max_ms": 30000, "window_ms": 50 } }
      """
    let policy = try PolicyFile.parse(Data(text.utf8))
    let limits = policy.fields.limits
    #expect(limits.total.per_second == 20_000 && limits.total.burst == 0)
    #expect(limits.tenant.per_second == 500 && limits.tenant.burst == 50)
    #expect(limits.flags == LTP_LIMITS_SHED | LTP_LIMITS_TENANT_WHEN_CONTENDED)
    #expect(
      limits.recovering.per_second == 9000 && limits.ramp_ms == 2000 && limits.ramp_start_permille == 100)
    #expect(limits.concurrency == LTP_CONCURRENCY_VEGAS && limits.concurrency_initial == 20)
    #expect(limits.concurrency_min == 1 && limits.concurrency_max == 200 && limits.permit_ttl_ms == 30_000)
    #expect(limits.shed_signal == LTP_SIGNAL_QUEUE_LATENCY_SPIKE && limits.shed_target == 5000)
    #expect(limits.shed_decrease_permille == 50 && limits.shed_increase_permille == 10)
    #expect(limits.retry_horizon_max_ms == 30_000 && limits.window_ms == 50)
    #expect(limits.classes.8.per_second == 70 && limits.classes.8.burst == 7)
    #expect(policy.describedClass(90).attributes == LTP_CLASS_MUTATING | LTP_CLASS_PERMIT)
  }

  @Test("domains are read, each into its field")
  func domains() throws {
    let domains = try parse(
      """
      { "version": 1, "domains": { "stay_ms": 5, "stay_max_ms": 50, "half_life_ms": 500, "outage": "both",
        "hellos": { "per_second": 7, "burst": 3 } } }
      """
    ).fields.domains
    #expect(domains.stay_ms == 5 && domains.stay_ms_max == 50 && domains.half_life_ms == 500)
    #expect(domains.outage == LTP_OUTAGE_OF_BOTH)
    let service = try parse("{ \"version\": 1, \"domains\": { \"outage\": \"service\" } }")
    #expect(service.fields.domains.outage == LTP_OUTAGE_OF_SERVICE)
    #expect(domains.hellos.per_second == 7 && domains.hellos.burst == 3)
    #expect(throws: PolicyFileError.self) {
      try parse(
        """
        { "version": 1, "signals": { "rules": { "WS_RECONNECT_STORM": { "condition": "UNSTABLE", "enter": 5, "exit": 1 } } } }
        """)
    }
  }

  @Test("signals are read, each into its field, and what is not said is the built-in rules'")
  func signals() throws {
    let text = """
      { "version": 1, "signals": {
          "observe": ["hellos", "pressure"], "observe_interval_ms": 250, "state_dwell_ms": 20, "recovering_ms": 30,
          "rules": {
            "MEMORY_PRESSURE": null,
            "db_write_latency": { "enter": 70, "exit": 60 },
            "METRICS_STABILIZED": { "condition": "strained", "enter": 1, "exit": 2, "enter_dwell_ms": 3,
              "exit_dwell_ms": 4, "stale_ms": 5, "weight": 100, "below": true } } } }
      """
    let signals = try #require(try parse(text).signals)
    #expect(signals.fields.flags == LTP_OBSERVE_HELLOS | LTP_OBSERVE_PRESSURE)
    #expect(signals.fields.observe_interval_ns == 250_000_000 && signals.fields.state_dwell_ns == 20_000_000)
    #expect(signals.fields.recovering_ns == 30_000_000)
    #expect(signals[.memoryPressure].condition == LTP_CONDITION_NONE && signals[.memoryPressure].weight == 0)
    let latency = signals[.dbWriteLatency]
    let builtIn = SignalRules.builtIn[.dbWriteLatency]
    #expect(latency.enter == 70 && latency.exit == 60 && latency.condition == LTP_CONDITION_UNSTABLE)
    #expect(latency.exit_dwell_ns == builtIn.exit_dwell_ns && latency.weight == builtIn.weight)
    let stabilized = signals[.metricsStabilized]
    #expect(stabilized.condition == LTP_CONDITION_STRAINED && stabilized.flags == LTP_SIGNAL_RULE_BELOW)
    #expect(stabilized.enter == 1 && stabilized.exit == 2 && stabilized.weight == 100)
    #expect(stabilized.enter_dwell_ns == 3_000_000 && stabilized.exit_dwell_ns == 4_000_000)
    #expect(stabilized.stale_ns == 5_000_000)
    #expect(try parse(#"{"version": 1}"#).signals == nil, "a policy need not say what makes the states")
    #expect(try parse(#"{"version": 1, "signals": {}}"#).signals != nil, "the built-in rules, loaded")
  }
}
