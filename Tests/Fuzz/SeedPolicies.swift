// SPDX-License-Identifier: Apache-2.0
// First inputs for the policy target: the examples, and one small file with every key.

import Foundation

@main
enum SeedPolicies {
  static func main() throws {
    let corpus = URL(fileURLWithPath: CommandLine.arguments[1])
    for name in ["cascade", "edge", "zombie-order", "flicker", "http"] {
      let data = try Data(contentsOf: URL(fileURLWithPath: "Examples/policies/\(name).json"))
      try data.write(to: corpus.appendingPathComponent(name))
    }
    let small = """
      {"version":1,"base":"empty","thresholds":{"HEALTHY":1},"classes":[{"id":1,"name":"a","attributes":["deferrable",\
      "mutating"],"rules":{"UNSTABLE":{"verdict":"DEFER","reason":"SYSTEM_UNSTABLE","priority_min":1,"retry_after_ms":2,\
      "defer_when_below":true,"waive_continuity":false}}}],"signals":{"observe":["hellos"],"observe_interval_ms":5,\
      "state_dwell_ms":6,"recovering_ms":7,"rules":{"CPU_PRESSURE":null,"METRICS_STABILIZED":{"condition":"STRAINED",\
      "enter":3,"exit":4,"enter_dwell_ms":1,"exit_dwell_ms":2,"stale_ms":3,"weight":100,"below":true}}}}
      """
    try Data(small.utf8).write(to: corpus.appendingPathComponent("small"))
  }
}
