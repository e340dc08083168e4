// SPDX-License-Identifier: Apache-2.0
// What became of a request, from its decision to its end: the request, how its intent was kept, handed out, decided again, and ended. Of the first
// few that were deferred, or of those that are asked for.

import CLTP
import LTPRecords

/// What the trace says of a kept intent itself.
public struct IntentFacts: Sendable, Encodable {
  public var ticket: String
  public var frame: String
  public var session: String
  public var actionClass: String
  public var kept: String
  public var expires: String
  /// Hexadecimal; nil: session and frame id are the key.
  public var key: String?
  public var payloadBytes: UInt32
  /// SHA-256 of the payload, hexadecimal.
  public var contentHash: String
  public var attemptsMax: UInt16
  public var commitment: String

  init(_ record: UnsafePointer<ltp_intent_record>, className: String) {
    let intent = record.pointee
    ticket = "\(intent.ticket)"
    frame = "\(intent.frame_id)"
    session = "\(intent.session_id)"
    actionClass = className
    kept = Timestamp.text(intent.kept_unix_ns)
    expires = Timestamp.text(intent.expires_unix_ns)
    let bytes = withUnsafeBytes(of: intent.key) { [UInt8]($0) }
    key = bytes.contains { $0 != 0 } ? hexadecimal(bytes) : nil
    payloadBytes = intent.payload_bytes
    contentHash = hexadecimal(Digest(from: UnsafeRawPointer(record) + LTP_AT_intent_record_content_hash))
    attemptsMax = intent.attempts_max
    commitment = "\(commitmentText(intent.condition))"
  }
}

public struct FrameStory: Sendable, Encodable {
  public struct Event: Sendable, Encodable {
    public var unixNanoseconds: UInt64
    public var time: String
    public var text: String
    public var place: Place
  }

  public var frame: String
  public var session: String
  public var ticket: String?
  public var intent: IntentFacts?
  /// By time.
  public var events: [Event] = []
  /// Those that are not listed.
  public var more: UInt64 = 0
  /// CARRIED_OUT, EXPIRED, ...; nil: it has no end.
  public var end: String?
}

struct FrameStories {
  enum Choice {
    /// So many that were deferred.
    case deferred(Int)
    case frame(UInt64, session: UInt64?)
    case session(UInt64)
    case ticket(UInt64)
  }

  private struct Key: Hashable {
    var session: UInt64
    var frame: UInt64
  }

  static let storiesMax = 64
  private static let eventsMax = 64

  let choice: Choice
  private var stories: [FrameStory] = []
  private var places: [Key: Int] = [:]
  private var placesByTicket: [UInt64: Int] = [:]

  init(_ choice: Choice) { self.choice = choice }

  /// With their events by time: lanes' blocks come in the order in which they were sealed.
  var found: [FrameStory] {
    stories.map { story in
      var story = story
      story.events.sort { $0.unixNanoseconds < $1.unixNanoseconds }
      return story
    }
  }

  // MARK: Which

  private func isChosen(_ key: Key, ticket: UInt64?, isDeferred: Bool) -> Bool {
    switch choice {
    case .deferred(let count): isDeferred && stories.count < count
    case .frame(let frame, let session): key.frame == frame && (session ?? key.session) == key.session
    case .session(let session): key.session == session
    case .ticket(let chosen): ticket == chosen
    }
  }

  /// Of whom this is told; nil: of nobody who was chosen.
  private mutating func place(_ key: Key, ticket: UInt64?, isDeferred: Bool) -> Int? {
    if let known = ticket.flatMap({ placesByTicket[$0] }) ?? places[key] {
      if let ticket, placesByTicket[ticket] == nil { placesByTicket[ticket] = known }
      return known
    }
    guard isChosen(key, ticket: ticket, isDeferred: isDeferred), stories.count < Self.storiesMax else {
      return nil
    }
    stories.append(FrameStory(frame: "\(key.frame)", session: "\(key.session)"))
    let place = stories.count - 1
    places[key] = place
    if let ticket { placesByTicket[ticket] = place }
    return place
  }

  private mutating func add(_ text: String, at time: UInt64, _ place: Place, to story: Int) {
    guard stories[story].events.count < Self.eventsMax else {
      stories[story].more += 1
      return
    }
    stories[story].events.append(
      FrameStory.Event(unixNanoseconds: time, time: Timestamp.text(time), text: text, place: place))
  }

  // MARK: Lanes

  mutating func decision(
    _ record: UnsafePointer<ltp_decision_record>, _ followers: DecisionFollowers, slot: Int,
    _ context: borrowing RecordContext
  ) {
    let decision = record.pointee
    let kept = followers.kept
    let isKept = kept?.result == LTP_KEPT_NEW
    // Most decisions end here: nobody asked for them.
    if case .deferred(let count) = choice, kept == nil, followers.replay == nil || stories.isEmpty,
      stories.count >= count || decision.verdict != LTP_VERDICT_DEFER
    {
      return
    }
    let isByCore = decision.isCoreReplay
    var key = Key(session: decision.session_id, frame: decision.frame_id)
    if let replay = followers.replay {
      key.frame = replay.original_frame_id
      if isByCore { key.session = replay.original_session_id }
    }
    let ticket = kept.flatMap { $0.ticket == 0 ? nil : $0.ticket }
    guard let story = place(key, ticket: ticket, isDeferred: isKept || decision.verdict == LTP_VERDICT_DEFER)
    else { return }
    if let ticket, isKept || stories[story].ticket == nil { stories[story].ticket = "\(ticket)" }
    let answer = ShowLine.describe(Outcome(rawValue: decision.outcome))
    let time = context.unixNanoseconds(decision.time_us)
    var text: String
    if let replay = followers.replay {
      let who = isByCore ? "LTP_SESSION_REPLAY" : "session \(decision.session_id)"
      text =
        "frame #\(decision.frame_id) of \(who): route_request, original_frame_id \(replay.original_frame_id)"
    } else {
      text = "frame #\(decision.frame_id): route_request"
    }
    text += " -> \(answer) (state \(stateName(context.word.state)))"
    switch kept?.result {
    case LTP_KEPT_SAME: text += ", sent again: kept already"
    case LTP_KEPT_ENDED: text += ", sent again: it has ended, \(endName(kept!.end))"
    case LTP_KEPT_DIFFERS: text += ", with the key of another intent"
    case LTP_KEPT_FULL, LTP_KEPT_LATER: text += ", there was no room to keep it"
    default: break
    }
    add(text, at: time, context.place(slot: slot), to: story)
  }

  // MARK: The control lane

  mutating func intent(
    _ record: UnsafePointer<ltp_intent_record>, slot: Int, _ context: borrowing RecordContext, _ log: LogState
  ) {
    let intent = record.pointee
    let key = Key(session: intent.session_id, frame: intent.frame_id)
    guard let story = place(key, ticket: intent.ticket, isDeferred: true) else { return }
    stories[story].ticket = "\(intent.ticket)"
    let isKnown = stories[story].intent != nil
    let policy = log.shelf.policies.last
    stories[story].intent = IntentFacts(
      record, className: policy?.name(intent.action_class) ?? className(intent.action_class))
    // What told it first may have left with older segments: then this says when it was kept.
    guard intent.moved == 0 || !isKnown else {
      let time = context.unixNanoseconds(intent.header.time_us)
      return add("copied to the end of the deferral log", at: time, context.place(slot: slot), to: story)
    }
    add(
      "kept as ticket \(intent.ticket) until \(Timestamp.text(intent.expires_unix_ns)); commitment "
        + "\"\(commitmentText(intent.condition))\""
        + (intent.moved == 0 ? "" : ", as a copy says that was made after \(intent.attempts) attempts"),
      at: intent.kept_unix_ns, context.place(slot: slot), to: story)
  }

  mutating func step(
    _ record: UnsafePointer<ltp_step_record>, slot: Int, _ context: borrowing RecordContext
  ) {
    let step = record.pointee
    if placesByTicket[step.ticket] == nil, case .ticket(step.ticket) = choice {
      // Its INTENT record has left the trace with older segments.
      let story = place(Key(session: 0, frame: 0), ticket: step.ticket, isDeferred: false)
      if let story { stories[story].ticket = "\(step.ticket)" }
    }
    guard let story = placesByTicket[step.ticket] else { return }
    let text =
      switch step.step {
      case LTP_STEP_BEGUN:
        "handed out, attempt \(step.attempt), until \(Timestamp.text(step.until_unix_ns))"
      case LTP_STEP_COMMITTED: "committed, attempt \(step.attempt)"
      case LTP_STEP_RELEASED where step.isHastening: "made due by an operator"
      case LTP_STEP_RELEASED:
        step.known != 0
          ? "released, not carried out, attempt \(step.attempt)"
            + (step.until_unix_ns > 0 ? "; not before \(Timestamp.text(step.until_unix_ns))" : "")
          : "its lease ran out, attempt \(step.attempt): it may have been carried out"
      default: "ended: \(endName(step.end))"
      }
    if step.isEnd { stories[story].end = "\(endName(step.end))" }
    add(text, at: step.unix_ns, context.place(slot: slot), to: story)
  }
}
