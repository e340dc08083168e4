// SPDX-License-Identifier: Apache-2.0
// `ltp policy`: exit statuses, and that what is compiled is what is loaded.

import CLTP
import Foundation
import LTPTestSupport
import Testing

@Suite("ltp policy", .guarded)
struct PolicyToolTests {
  private let directory = TemporaryDirectory()

  private func run(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(["policy"] + arguments) }

  @Test("a good file: checked, shown, compiled, and loaded")
  func good() throws {
    directory.write(
      Array(
        #"{"version": 1, "classes": [{"name": "read", "rules": {"HEALTHY": {"verdict": "DENY"}}}]}"#.utf8),
      to: "policy.json")
    let file = directory.path + "/policy.json"
    let check = try run("check", file)
    #expect(check.status == 0 && check.output.contains("29 classes") && check.errors == "")
    #expect(try run("show", file).output.contains("8   read                deny           deny "))
    let json = try JSONSerialization.jsonObject(with: Data(try run("show", file, "--json").output.utf8))
    #expect((json as? [String: Any])?["classes"] != nil)
    let compiled = directory.path + "/policy.ltp"
    #expect(try run("compile", file, "--output", compiled).status == 0)
    let bytes = directory.read("policy.ltp")
    #expect(bytes.count == MemoryLayout<ltp_policy>.size)
    let status = bytes.withUnsafeBytes { bytes in
      ltp_policy_check(bytes.baseAddress!.assumingMemoryBound(to: ltp_policy.self), nil)
    }
    #expect(status == LTP_OK)
    #expect(try run("show").output.contains("payment"))
  }

  @Test("what makes the states is shown, where the policy says so")
  func signals() throws {
    let text = """
      {"version": 1, "signals": {"observe": ["hellos"], "state_dwell_ms": 1500, "rules": {"CPU_PRESSURE": null,
        "DB_WRITE_LATENCY": {"enter": 7000, "exit": 6000, "exit_dwell_ms": 9, "stale_ms": 2000},
        "METRICS_STABILIZED": {"condition": "STRAINED", "enter": 1, "exit": 2, "below": true, "weight": 100}}}}
      """
    directory.write(Array(text.utf8), to: "policy.json")
    let file = directory.path + "/policy.json"
    #expect(try run("check", file).output.contains("14 signals watched"))
    let shown = try run("show", file).output
    for words in [
      ">= 7,000 for 0 ms", "< 6,000 for 9 ms", "pushed every 2,000 ms, or UNKNOWN", "<= 1 for 0 ms",
      "> 2 for 0 ms",
      "the core reads hellos every 100 ms by itself", "a state lasts 1,500 ms before a better one",
    ] { #expect(shown.contains(words), "\(words) in\n\(shown)") }
    #expect(!shown.contains("CPU_PRESSURE"))
    let json = try JSONSerialization.jsonObject(with: Data(try run("show", file, "--json").output.utf8))
    let signals = try #require((json as? [String: Any])?["signals"] as? [String: Any])
    let rules = try #require(signals["rules"] as? [String: Any])
    #expect(rules.values.count { !($0 is NSNull) } == 14 && rules["CPU_PRESSURE"] is NSNull)
    #expect(signals["observe"] as? [String] == ["hellos"])
    #expect(try !run("show").output.contains("RECOVERING ends"))
  }

  /// Everything that a file can say, each value another one than the default.
  private static let full = #"""
    {"version": 1, "thresholds": {"HEALTHY": 3, "FAILED": 250},
      "classes": [
        {"name": "read", "rate": {"per_second": 9}, "rules": {"RECOVERING": {"verdict": "DENY"}}},
        {"id": 120, "name": "nightly", "attributes": ["deferrable", "permit", "requires_continuity"],
          "rate": {"per_second": 70, "burst": 8},
          "rules": {"HEALTHY": {"priority_min": 7, "retry_after_ms": 11, "defer_when_below": true,
            "waive_continuity": true}, "FAILED": {"verdict": "DENY", "reason": "QUORUM_LOST"}}}],
      "limits": {"total": {"per_second": 1000, "burst": 20},
        "tenant": {"per_second": 100, "only_when_contended": true},
        "recovering": {"per_second": 500, "burst": 5, "ramp_ms": 6000, "start_permille": 300},
        "concurrency": {"algorithm": "vegas", "initial": 20, "min": 2, "max": 200, "timeout_us": 5,
          "permit_ttl_ms": 700},
        "shedding": {"signal": "DB_WRITE_LATENCY", "target": 90, "decrease_permille": 60, "increase_permille": 6},
        "retry_horizon_max_ms": 4000, "window_ms": 50},
      "signals": {"observe": ["pressure", "hellos"], "observe_interval_ms": 20, "state_dwell_ms": 30,
        "recovering_ms": 40, "rules": {"CPU_PRESSURE": null,
          "LINK_LOSS": {"condition": "FAILED", "enter": 5, "exit": 6, "enter_dwell_ms": 7, "exit_dwell_ms": 8,
            "stale_ms": 9, "weight": 10, "below": true}}}}
    """#

  @Test("what show --json prints is a policy file of the same policy")
  func showIsAFile() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
    let examples = root.path + "/Examples/policies/"
    var files = try FileManager.default.contentsOfDirectory(atPath: examples)
      .filter { $0.hasSuffix(".json") }.map { examples + $0 }
    #expect(files.count > 2)
    for (name, text) in [
      ("built-in", #"{"version": 1}"#), ("signals", #"{"version": 1, "signals": {}}"#),
      ("shed", #"{"version": 1, "limits": {"total": {"per_second": 5}, "shedding": {}}}"#),
      ("full", Self.full),
    ] {
      directory.write(Array(text.utf8), to: name + ".json")
      files.append(directory.path + "/\(name).json")
    }
    for file in files {
      let shown = try run("show", file, "--json")
      directory.write(Array(shown.output.utf8), to: "shown")
      for (source, output) in [(file, "before"), (directory.path + "/shown", "after")] {
        let outcome = try run("compile", source, "--output", directory.path + "/" + output)
        #expect(outcome.status == 0, "\(file): \(outcome.errors)")
      }
      #expect(directory.read("before") == directory.read("after"), "\(file)\n\(shown.output)")
      #expect(try run("show", directory.path + "/shown").output == run("show", file).output, "\(file)")
    }
    directory.write(Array(try run("show", "--json").output.utf8), to: "shown")
    #expect(try run("show", directory.path + "/shown").output == run("show").output)
  }

  @Test("compare: what another policy would have changed in a recorded trace")
  func compare() throws {
    let trace = TemporaryDirectory()
    var options = ltp_core_options()
    _ = ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size)
    var core: OpaquePointer?
    var lane: OpaquePointer?
    trace.path.withCString {
      options.trace_directory = $0
      #expect(ltp_core_open(&options, &core, nil) == LTP_OK)
    }
    #expect(ltp_lane_open(core, &lane, nil) == LTP_OK)
    var change = ltp_transition()
    change.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
    (change.to, change.reason) = (LTP_STATE_SATURATED, LTP_SIGNAL_OPERATOR)
    #expect(ltp_orientation_publish(core, &change, nil) == LTP_OK)
    for (actionClass, priority) in [(8, 100), (8, 140), (25, 140), (40, 200)] as [(UInt8, UInt8)] {
      for number in 0..<10 {
        var request = ltp_route_request()
        _ = ltp_frame_init(&request, MemoryLayout<ltp_route_request>.size, LTP_FRAME_ROUTE_REQUEST, 0)
        (request.frame_id, request.session_id) = (UInt64(number), 1)
        (request.action_class, request.priority) = (actionClass, priority)
        _ = ltp_admit(lane, &request, MemoryLayout<ltp_route_request>.size)
      }
    }
    #expect(ltp_lane_close(lane) == LTP_OK && ltp_core_close(core, 10_000_000_000, nil) == LTP_OK)
    func compared(_ policy: String) throws -> [String: Any] {
      directory.write(Array(policy.utf8), to: "policy.json")
      let outcome = try Tool.run(
        ["inspect", "compare", trace.path, "--json", "--policy", directory.path + "/policy.json"])
      #expect(outcome.status == 0, "\(outcome.errors)")
      return try #require(JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    }
    let same = try compared(#"{"version": 1}"#)
    #expect(same["same"] as? Int == 40 && same["different"] as? Int == 0)
    // Recorded under the built-in threshold of 129: 10 reads are below it. Above 150, so are 20 more.
    let higher = try compared(#"{"version": 1, "thresholds": {"SATURATED": 150}}"#)
    #expect(higher["different"] as? Int == 20 && higher["same"] as? Int == 20)
    #expect(higher["executed_recorded"] as? Int == 20 && higher["executed_compared"] as? Int == 0)
    let rows = try #require(higher["rows"] as? [[String: Any]])
    #expect(rows.count == 2 && rows.contains { $0["action_class"] as? String == "read" })
    let token = try compared(
      #"{"version": 1, "classes": [{"name": "read", "attributes": ["requires_continuity"]}]}"#)
    #expect(token["undecided"] as? Int == 20 && token["different"] as? Int == 0)
    // What is denied with a token and without one hangs on none.
    let denied = try compared(
      #"""
      {"version": 1, "classes": [{"name": "read", "attributes": ["requires_continuity"],
        "rules": {"SATURATED": {"verdict": "DENY"}}}]}
      """#)
    #expect(denied["undecided"] as? Int == 0 && denied["different"] as? Int == 20)
    let bad = try Tool.run(["inspect", "compare", trace.path, "--policy", directory.path + "/none"])
    #expect(bad.status == 2)
  }

  @Test("mistakes: 1 with file and line, 2 for what cannot be read or written")
  func mistakes() throws {
    directory.write(Array("{\"version\": 1,\n\"no\": 1}".utf8), to: "policy.json")
    let file = directory.path + "/policy.json"
    let check = try run("check", file)
    #expect(
      check.status == 1 && check.errors.hasPrefix("\(file):2: \"no\" means nothing here")
        && check.output == "")
    #expect(try run("check", directory.path + "/none").status == 2)
    #expect(try run("check").status == 2)
    directory.write(Array("{\"version\": 1}".utf8), to: "policy.json")
    #expect(try run("compile", file, "--output", directory.path + "/none/x").status == 2)
  }

  @Test("policies of a trace: listed, shown, and written as they were loaded")
  func ofATrace() throws {
    let trace = TemporaryDirectory()
    let text = """
      {"version": 1, "thresholds": {"DEGRADED": 77}, "signals": {"rules": {"DB_WRITE_LATENCY": {"enter": 4242, "exit": 41}}}}
      """
    directory.write(Array(text.utf8), to: "policy.json")
    let (file, compiled) = (directory.path + "/policy.json", directory.path + "/policy.ltp")
    #expect(try run("compile", file, "--output", compiled).status == 0)
    let bytes = directory.read("policy.ltp")
    var options = ltp_core_options()
    _ = ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size)
    var core: OpaquePointer?
    bytes.withUnsafeBytes { bytes in
      let policy = bytes.baseAddress!.assumingMemoryBound(to: ltp_policy.self)
      options.policy = policy
      trace.path.withCString {
        options.trace_directory = $0
        #expect(ltp_core_open(&options, &core, nil) == LTP_OK)
      }
      var builtIn = ltp_policy()
      #expect(ltp_policy_default(&builtIn) == LTP_OK)
      #expect(ltp_policy_shadow(core, &builtIn, nil, nil) == LTP_OK)
    }
    #expect(ltp_core_close(core, 10_000_000_000, nil) == LTP_OK)
    func inspect(_ arguments: String...) throws -> Tool.Outcome {
      try Tool.run(["inspect", "policies", trace.path] + arguments)
    }
    let list = try inspect()
    #expect(list.status == 0 && list.output.split(separator: "\n").count == 4, "\(list.output)")
    #expect(list.output.contains("2 shadow"))
    let shown = try inspect("--generation", "2")
    #expect(shown.status == 0 && shown.output.contains(">= 4,242 for 0 ms"))
    #expect(try !inspect("--generation", "2", "--shadow").output.contains("4,242"))
    let written = directory.path + "/again.ltp"
    #expect(try inspect("--generation", "1", "--output", written).status == 0)
    #expect(directory.read("again.ltp") == bytes)
    let json = try JSONSerialization.jsonObject(
      with: Data(try inspect("--generation", "1", "--json").output.utf8))
    let report = try #require(json as? [String: Any])
    #expect((report["policies"] as? [Any])?.count == 3)
    #expect((report["policy"] as? [String: Any])?["signals"] != nil)
    let missing = try inspect("--generation", "9")
    #expect(missing.status == 2 && missing.errors.contains("it has 1, 2"))
    #expect(try inspect("--output", written).status == 2)
    #expect(try inspect("--generation", "1", "--output", "/nowhere/x").status == 2)
  }
}
