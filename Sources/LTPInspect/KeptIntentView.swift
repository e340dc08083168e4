// SPDX-License-Identifier: Apache-2.0
// A pending intent as people read it. Ids are text, because readers of JSON disagree about large numbers.

import LTPRecords

public struct KeptIntentView: Sendable, Encodable {
  public var ticket: String
  public var frame: String
  public var session: String
  public var payloadBytes: UInt32
  public var keptUnixNanoseconds: UInt64
  public var kept: String
  public var attempts: UInt16
  public var attemptsMax: UInt16
  public var isHandedOut: Bool

  init(_ ticket: UInt64, _ intent: PendingIntent) {
    self.ticket = String(ticket)
    frame = String(intent.frame)
    session = String(intent.session)
    payloadBytes = intent.payloadBytes
    keptUnixNanoseconds = intent.keptUnixNanoseconds
    kept = Timestamp.text(intent.keptUnixNanoseconds)
    attempts = intent.attempt
    attemptsMax = intent.attemptsMax
    isHandedOut = intent.begunAt != 0
  }

  public var line: String {
    "\(kept)  ticket \(ticket)  frame \(frame)  session \(session)  \(payloadBytes) bytes  "
      + "attempt \(attempts) of \(attemptsMax)\(isHandedOut ? "  in a worker's hands" : "")"
  }
}

extension Inspector {
  /// The intents that have no end yet, by their tickets, beside the whole story.
  public func keptIntents() throws(InspectFailure) -> (intents: [KeptIntentView], story: Story) {
    var pending: [UInt64: PendingIntent] = [:]
    let story = try story { pending = $0.pending }
    return (pending.sorted { $0.key < $1.key }.map { KeptIntentView($0.key, $0.value) }, story)
  }
}
