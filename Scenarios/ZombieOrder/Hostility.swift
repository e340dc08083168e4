// SPDX-License-Identifier: Apache-2.0
// What somebody sends who has listened, or who will not hear of an outage: intents of a dead epoch, in every dress. None of them may ever
// be let in, so each has an id that is seen at once, in answers, trace and database.

import CLTP
import LTP

final class Hostility {
  /// In the id of each hostile frame.
  private static let mark: UInt64 = 1 << 62
  static func isHostile(_ frame: UInt64) -> Bool { frame & mark != 0 }

  private(set) var sent = 0
  private(set) var refused = 0
  private(set) var letIn = 0
  /// By reason, of those that were refused.
  private(set) var reasons: [String: Int] = [:]

  func answered(_ response: ltp_route_response) {
    if response.verdict == LTP_VERDICT_EXECUTE {
      letIn += 1
    } else {
      refused += 1
      reasons["\(Reason(rawValue: response.reason))", default: 0] += 1
    }
  }

  /// The old intent as it was, over the new connection.
  func replay(_ old: Intent, by client: Client) { send(old, by: client) { _ in } }

  /// The old intent once more, in what the session has been granted since.
  func dress(_ old: Intent, as session: Session, by client: Client) {
    guard old.request.fields.intent_epoch != session.fields.continuity_epoch else { return }
    // A new token, and the old stamp.
    send(old, by: client) {
      $0.continuity_token = session.fields.continuity_token
      $0.incarnation = session.fields.incarnation
    }
    // The new life, and the old token.
    send(old, by: client) { $0.incarnation = session.fields.incarnation }
    // The old token, and a stamp that claims to be new.
    send(old, by: client) {
      $0.incarnation = session.fields.incarnation
      $0.intent_epoch = session.fields.continuity_epoch
    }
    // An intent from the future.
    send(old, by: client) {
      $0.continuity_token = session.fields.continuity_token
      $0.incarnation = session.fields.incarnation
      $0.intent_epoch = session.fields.continuity_epoch &+ 1
    }
    // Somebody else's session with this token, which another connection may be bound to.
    send(old, by: client) {
      $0.session_id += 1
      $0.continuity_token = session.fields.continuity_token
      $0.incarnation = session.fields.incarnation
      $0.intent_epoch = session.fields.continuity_epoch
    }
  }

  private func send(_ old: Intent, by client: Client, _ change: (inout ltp_route_request) -> Void) {
    var intent = old
    change(&intent.request.fields)
    sent += 1
    intent.request.fields.frame_id = Self.mark | UInt64(sent)
    client.send(intent)
  }
}
