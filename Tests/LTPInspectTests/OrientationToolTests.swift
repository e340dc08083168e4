// SPDX-License-Identifier: Apache-2.0
// `ltp orientation`: two processes and a page.

import CLTP
import Foundation
import LTPTestSupport
import Testing

@Suite("ltp orientation", .guarded)
struct OrientationToolTests {
  private let directory = TemporaryDirectory()
  private var page: String { directory.path + "/page" }

  private func run(_ arguments: String...) throws -> Tool.Outcome {
    try Tool.run(["orientation"] + arguments)
  }

  @Test("what one process sets, another gets, with its evidence")
  func setAndGet() throws {
    let set = try run(
      "set", page, "unstable", "--reason", "DB_WRITE_LATENCY", "--evidence", "DB_WRITE_LATENCY=6200/5000",
      "--text", "leader \u{1B}[31melection", "--threshold", "200", "--lease", "3600")
    #expect(set.status == 0 && set.output.contains("UNSTABLE, epoch 1") && set.errors == "")
    let get = try run("get", page)
    #expect(get.status == 0)
    #expect(get.output.contains("UNSTABLE: DB_WRITE_LATENCY (epoch 1, was UNKNOWN, priority from 200"))
    #expect(get.output.contains("DB_WRITE_LATENCY 6200, threshold 5000"))
    #expect(get.output.contains("leader ?[31melection"))
    let json = try JSONSerialization.jsonObject(with: Data(try run("get", page, "--json").output.utf8))
    let fields = try #require(json as? [String: Any])
    #expect(fields["state"] as? String == "UNSTABLE" && fields["priority_threshold"] as? Int == 200)
    #expect(try run("set", page, "STABLE").output.contains("HEALTHY, epoch 2"))
  }

  @Test("a core here follows a tool there, and falls to UNKNOWN when the tool is killed")
  func killed() throws {
    let output = Pipe()
    let tool = try Tool.start(
      ["orientation", "set", page, "HEALTHY", "--hold", "--lease", "3"], output: output, errors: Pipe())
    #expect(!output.fileHandleForReading.availableData.isEmpty)
    var options = ltp_core_options()
    _ = ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size)
    let trace = TemporaryDirectory()
    var core: OpaquePointer?
    var lane: OpaquePointer?
    trace.path.withCString { trace in
      page.withCString { page in
        options.trace_directory = trace
        options.orientation_page = page
        #expect(ltp_core_open(&options, &core, nil) == LTP_OK)
      }
    }
    #expect(ltp_lane_open(core, &lane, nil) == LTP_OK)
    var request = ltp_route_request()
    _ = ltp_frame_init(&request, MemoryLayout<ltp_route_request>.size, LTP_FRAME_ROUTE_REQUEST, 0)
    request.session_id = 1
    request.action_class = 25
    request.priority = 200
    func verdict() -> ltp_verdict { ltp_admit(lane, &request, MemoryLayout<ltp_route_request>.size) }
    #expect(verdict().verdict == LTP_VERDICT_EXECUTE)
    kill(tool.processIdentifier, SIGKILL)
    tool.waitUntilExit()
    #expect(eventually { verdict().state == LTP_STATE_UNKNOWN })
    #expect(verdict().verdict == LTP_VERDICT_DENY && verdict().reason == LTP_REASON_ORIENTATION_UNKNOWN)
    #expect(try run("set", page, "HEALTHY", "--lease", "60").status == 0)
    #expect(verdict().verdict == LTP_VERDICT_EXECUTE)
    #expect(ltp_lane_close(lane) == LTP_OK && ltp_core_close(core, 10_000_000_000, nil) == LTP_OK)
    let summary = try Tool.run(["inspect", "summary", trace.path])
    #expect(summary.status == 0 && summary.output.contains("ORIENTATION_LOST"))
  }

  @Test("watch says each change")
  func watch() throws {
    #expect(try run("set", page, "DEGRADED", "--lease", "3600").status == 0)
    let output = Pipe()
    let tool = try Tool.start(
      ["orientation", "watch", page, "--count", "2", "--json"], output: output, errors: Pipe())
    let first = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    #expect(first.contains("\"DEGRADED\""))
    #expect(try run("set", page, "FAILED", "--lease", "3600").status == 0)
    let rest = try output.fileHandleForReading.readToEnd() ?? Data()
    #expect(String(decoding: rest, as: UTF8.self).contains("\"FAILED\""))
    tool.waitUntilExit()
    #expect(tool.terminationStatus == 0)
  }

  @Test("mistakes: 2 for usage, 1 for the page, and what to do")
  func mistakes() throws {
    #expect(try run("set", page, "WELL").status == 2)
    #expect(try run("set", page, "HEALTHY", "--lease", "0").status == 2)
    #expect(try run("set", page, "HEALTHY", "--evidence", "CPU_PRESSURE=1").status == 2)
    #expect(try run("set", page, "HEALTHY", "--reason", "CORE_STARTED").status == 2)
    let missing = try run("get", page)
    #expect(missing.status == 1 && missing.errors.contains(page) && missing.output == "")
    directory.write(Array("not a page".utf8), to: "page")
    #expect(try run("get", page).errors.contains("not an orientation page"))
    #expect(try run("set", page, "HEALTHY").status == 1)
  }
}
