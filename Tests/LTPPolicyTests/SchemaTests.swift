// SPDX-License-Identifier: Apache-2.0
// The published schema says what the reader takes: the same keys, the same names.

import CLTP
import Foundation
import LTP
import LTPPolicy
import LTPTestSupport
import Testing

@Suite("The policy schema", .guarded)
struct SchemaTests {
  private let schema: [String: Any]

  init() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
    let data = try Data(contentsOf: root.appendingPathComponent("docs/policy.schema.json"))
    schema = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  /// What lies at a path of keys; numbers are places in lists.
  private func node(_ path: String) throws -> [String: Any] {
    var node: Any = schema
    for part in path.split(separator: "/") {
      if let list = node as? [Any], let place = Int(part) {
        node = list[place]
      } else {
        node = try #require((node as? [String: Any])?[String(part)], "\(path) at \(part)")
      }
    }
    return try #require(node as? [String: Any])
  }

  private func keys(_ path: String) throws -> Set<String> {
    Set(try node(path + "/properties").keys).subtracting(["comment"])
  }

  private func names(_ path: String) throws -> Set<String> {
    Set(try #require(try node(path)["enum"] as? [String]))
  }

  /// The keys that the reader names when it is given one that it does not know.
  private func known(_ text: String) throws -> Set<String> {
    do {
      _ = try PolicyFile.parse(Data(text.utf8))
    } catch {
      let words = try #require(error.reason.split(separator: ";").last)
      #expect(error.reason.hasPrefix("\"zzz\" means nothing here"), "\(error)")
      let list = words.dropFirst(" there are ".count).replacing(", and comment", with: "")
      return Set(list.split(separator: ", ").map(String.init))
    }
    Issue.record("taken: \(text)")
    return []
  }

  @Test(
    "objects have the keys that the reader takes",
    arguments: [
      ("", #"{"version": 1, "zzz": 0}"#),
      ("properties/classes/items", #"{"version": 1, "classes": [{"name": "read", "zzz": 0}]}"#),
      ("$defs/rule", #"{"version": 1, "classes": [{"name": "read", "rules": {"FAILED": {"zzz": 0}}}]}"#),
      ("$defs/rate", #"{"version": 1, "classes": [{"name": "read", "rate": {"per_second": 1, "zzz": 0}}]}"#),
      ("properties/limits", #"{"version": 1, "limits": {"zzz": 0}}"#),
      ("properties/limits/properties/tenant", #"{"version": 1, "limits": {"tenant": {"zzz": 0}}}"#),
      ("properties/limits/properties/recovering", #"{"version": 1, "limits": {"recovering": {"zzz": 0}}}"#),
      ("properties/limits/properties/concurrency", #"{"version": 1, "limits": {"concurrency": {"zzz": 0}}}"#),
      ("properties/limits/properties/shedding", #"{"version": 1, "limits": {"shedding": {"zzz": 0}}}"#),
      ("properties/signals", #"{"version": 1, "signals": {"zzz": 0}}"#),
      ("$defs/signal_rule/oneOf/1", #"{"version": 1, "signals": {"rules": {"QUORUM_LOST": {"zzz": 0}}}}"#),
    ])
  func keys(_ path: String, _ text: String) throws {
    #expect(try keys(path) == known(text))
    #expect(try node(path)["additionalProperties"] as? Bool == false)
  }

  @Test("names are the contract's")
  func names() throws {
    #expect(try keys("properties/thresholds") == Set(State.allCases.map(\.description) + ["STABLE"]))
    #expect(
      try keys("properties/signals/properties/rules") == Set(SignalRules.observations.map(\.description)))
    #expect(
      try names("properties/limits/properties/shedding/properties/signal")
        == Set(SignalRules.observations.map(\.description)))
    #expect(
      try names("properties/signals/properties/observe/items") == Set(SignalRules.sources.map(\.name)))
    #expect(
      try names("$defs/signal_rule/oneOf/1/properties/condition") == Set(SignalRules.conditions.map(\.name)))
    #expect(
      try names("properties/limits/properties/concurrency/properties/algorithm")
        == Set(Policy.concurrencyAlgorithms.map(\.name)))
    #expect(
      try names("properties/classes/items/properties/attributes/items")
        == Set(PolicyClass.allAttributes.map(\.name)))
    let reasons = (1..<UInt8(LTP_REASON_COUNT)).map { Reason(rawValue: $0).description }
    #expect(try names("$defs/rule/properties/reason") == Set(reasons))
    #expect(try names("$defs/rule/properties/verdict") == Set(LTP.Decision.allCases.map(\.description)))
  }
}
