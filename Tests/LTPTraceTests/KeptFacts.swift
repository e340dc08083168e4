// SPDX-License-Identifier: Apache-2.0

/// How histories were, so that a test can see that they are not all dull.
struct KeptFacts {
  var runs = 0
  var powerLosses = 0
  var kills = 0
  var kept = 0
  var handedOut = 0
  /// After a crash, or because a worker gave it back.
  var handedOutAgain = 0
  /// So, and a crash had taken the record that says so.
  var handedOutUnrecorded = 0
  var ended = 0
  var endedByThemselves = 0
  var sentAgain = 0
  var lostUnacknowledged = 0
  var endsUndone = 0
  /// Records that the next run told the trace, because a crash had come between.
  var toldLate = 0
  var moved: UInt64 = 0
  var segmentsDropped: UInt64 = 0
  var segmentsBegun: UInt64 = 0
  var traceSegmentsBegun: UInt64 = 0
  var cuts = 0
  var traceCuts = 0
  var failures = 0
  var traceFailures = 0
  var diedAtWork = 0
  var recoveriesInterrupted = 0
  var opensRefused = 0

  static func += (total: inout KeptFacts, one: KeptFacts) {
    total.runs += one.runs
    total.powerLosses += one.powerLosses
    total.kills += one.kills
    total.kept += one.kept
    total.handedOut += one.handedOut
    total.handedOutAgain += one.handedOutAgain
    total.handedOutUnrecorded += one.handedOutUnrecorded
    total.ended += one.ended
    total.endedByThemselves += one.endedByThemselves
    total.sentAgain += one.sentAgain
    total.lostUnacknowledged += one.lostUnacknowledged
    total.endsUndone += one.endsUndone
    total.toldLate += one.toldLate
    total.moved += one.moved
    total.segmentsDropped += one.segmentsDropped
    total.segmentsBegun += one.segmentsBegun
    total.traceSegmentsBegun += one.traceSegmentsBegun
    total.cuts += one.cuts
    total.traceCuts += one.traceCuts
    total.failures += one.failures
    total.traceFailures += one.traceFailures
    total.diedAtWork += one.diedAtWork
    total.recoveriesInterrupted += one.recoveriesInterrupted
    total.opensRefused += one.opensRefused
  }
}
