// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOPosix
import Stage

struct ScenarioResult {
  var settings: Settings
  /// How many times faster than the seed's the outage was.
  var compression: Double
  var without: CourseResult?
  var with: CourseResult?
  var proof: TraceProof?
  var forged: ForgedTrace?

  /// What a postmortem would quote; nil: it is not so.
  var quote: String? {
    guard let with, let proof, proof.verify.isGood, proof.violations.isGood, with.book.isClean,
      let blocked = proof.blockedInOutage
    else { return nil }
    let seconds = with.outageSeconds
    let length = abs(seconds - seconds.rounded()) < 0.05 ? fixed(seconds, 0) : fixed(seconds, 1)
    return
      "\(grouped(blocked)) requests were blocked during the \(length)-second outage; zero invalid transitions occurred"
  }
}

enum Scenario {
  /// Both ways at once: each has a server, a venue and clients of its own, and little to do.
  static func run(_ settings: Settings, compression: Double, without: Bool, with: Bool) async throws
    -> ScenarioResult
  {
    var result = ScenarioResult(settings: settings, compression: compression)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 4)
    async let bare = without ? Course(settings, hasAdmission: false, on: group).run() : nil
    async let guarded = with ? Course(settings, hasAdmission: true, on: group).run() : nil
    result.without = try await bare
    result.with = try await guarded
    if let course = result.with {
      say("the trace is read")
      let trace = CourseFiles(directory: settings.directory, name: "with").trace
      let proof = try TraceProof(directory: trace, killed: course.killed, restarted: course.restarted)
      result.proof = proof
      result.forged = try ForgedTrace(trace, blocked: proof.blocked)
    }
    try await group.shutdownGracefully()
    return result
  }
}
