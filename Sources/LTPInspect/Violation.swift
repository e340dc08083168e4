// SPDX-License-Identifier: Apache-2.0
// What inspection finds: where, what kind, and what differs. A violation says that the trace is not what a
// correct writer leaves; an InspectFailure says that there was nothing to judge.

/// A place in a trace. What does not apply is nil.
public struct Place: Equatable, Sendable, Encodable {
  public var segment: UInt64
  /// Byte offset in the segment.
  public var offset: UInt64
  /// Index of the block in the log.
  public var block: UInt64?
  public var lane: UInt32?
  /// The lane's number of the slot.
  public var sequence: UInt64?

  public init(
    segment: UInt64, offset: UInt64, block: UInt64? = nil, lane: UInt32? = nil, sequence: UInt64? = nil
  ) {
    self.segment = segment
    self.offset = offset
    self.block = block
    self.lane = lane
    self.sequence = sequence
  }

  /// "segment 0000000000000001.ltp, offset 8192, block 17, lane 3, sequence 4410"
  public var text: String {
    var text = "segment \(SegmentName.text(segment)), offset \(offset)"
    if let block { text += ", block \(block)" }
    if let lane { text += ", lane \(lane)" }
    if let sequence { text += ", sequence \(sequence)" }
    return text
  }
}

public struct Violation: Equatable, Sendable, Encodable {
  public enum Kind: String, Sendable, Encodable {
    /// A block is not the one that belongs here: a changed byte, a wrong place, another log.
    case chain
    /// A segment is missing, or one that should be full is not.
    case segment
    /// Bytes that no acknowledged block explains, at the end of the last segment.
    case tornTail = "torn_tail"
    /// Records that were acknowledged as durable are gone.
    case lost
    /// The file that says what is durable cannot be believed.
    case watermark
    /// A lane's sequence has a gap.
    case sequence
    /// A record's own fields are not what a writer can have put there.
    case record
    /// The orientation's history contradicts itself.
    case transition
    case policy
    /// The never list of the protocol.
    case never
    /// A session acted, and never shook hands in that epoch.
    case continuity
    /// What is told of kept intents contradicts itself.
    case deferral
    /// A critical or mutating action ran in an outage, and no rule lets it.
    case outage
    /// A count in the trace is not what was counted.
    case count
    /// Deciding again gives another answer.
    case redecide
  }

  public var kind: Kind
  public var place: Place
  /// What differs, as a sentence.
  public var message: String

  public init(_ kind: Kind, at place: Place, _ message: String) {
    self.kind = kind
    self.place = place
    self.message = message
  }

  public var text: String { "\(place.text): \(message)" }
}

/// Input that cannot be judged, and what to do about it. Exit status 2.
public struct InspectFailure: Error, Equatable, Sendable, CustomStringConvertible {
  public var message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }
}

/// Collects what is found: the first violations in full, the rest by count.
public final class Findings {
  public static let violationsMax = 100
  public static let notesMax = 64

  public private(set) var violations: [Violation] = []
  public private(set) var violationCount: UInt64 = 0
  /// By kind, those that are not listed included.
  public private(set) var counts: [Violation.Kind: UInt64] = [:]
  public private(set) var notes: [String] = []

  public init() {}

  @inline(never)
  public func add(_ violation: Violation) {
    violationCount += 1
    counts[violation.kind, default: 0] += 1
    if violations.count < Self.violationsMax { violations.append(violation) }
  }

  /// The message is composed only while there is room for it.
  @inline(never)
  public func add(_ kind: Violation.Kind, at place: Place, _ message: @autoclosure () -> String) {
    if violations.count < Self.violationsMax {
      add(Violation(kind, at: place, message()))
    } else {
      violationCount += 1
      counts[kind, default: 0] += 1
    }
  }

  @inline(never)
  public func note(_ text: String) {
    if notes.count < Self.notesMax { notes.append(text) }
  }
}
