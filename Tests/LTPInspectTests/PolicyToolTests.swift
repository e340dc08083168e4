// SPDX-License-Identifier: Apache-2.0
// `ltp policy`: exit statuses, and that what is compiled is what is loaded.

import CLTP
import Foundation
import Testing

@Suite("ltp policy")
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
}
