// SPDX-License-Identifier: Apache-2.0
// What must hold, each from what was measured: by the clients, by the database, and by the trace alone.

import Stage

enum Promises {
  static func check(_ course: CourseResult, _ proof: TraceProof, orders: Int) -> [Promise] {
    let tally = course.tally
    return [
      Promise(
        text: "exactly \(grouped(orders)) orders come within the outage, and each is deferred",
        measured: "\(grouped(course.sentInOutage)) sent, \(grouped(course.deferredInOutage)) answered "
          + "\"pending\" before its end; \(grouped(proof.figures.kept)) kept by the trace",
        isMet: course.sentInOutage == orders && course.deferredInOutage == orders
          && proof.figures.kept == orders),
      Promise(
        text: "each of them is processed after it, and its user is told so",
        measured: "\(grouped(proof.figures.committed)) carried out by the trace, "
          + "\(grouped(course.confirmedLater)) confirmed to users",
        isMet: proof.figures.committed == orders && course.confirmedLater == orders),
    ] + always(tally, course.table, proof)
  }

  /// Whatever was killed.
  static func always(_ tally: ClientTally, _ table: TableCheck, _ proof: TraceProof) -> [Promise] {
    [
      Promise(
        text: "no user sees an error, and who asks again has the same ticket",
        measured: "\(tally.errorsAt.count) errors, \(tally.otherTicket) other tickets, "
          + "\(grouped(tally.refreshed)) asked again by users",
        isMet: tally.errorsAt.isEmpty && tally.otherTicket == 0),
      Promise(
        text: "nothing is lost and nothing is there twice, by the database",
        measured: "\(grouped(table.rows)) rows of \(grouped(tally.sent.count)) orders: \(table.lost) lost, "
          + "\(table.duplicates) twice, \(table.unsent) never sent",
        isMet: table.lost == 0 && table.duplicates == 0 && table.unsent == 0
          && table.rows == tally.sent.count),
      Promise(
        text: "each client's orders stand in its order, by the database",
        measured: "\(table.outOfOrder) out of order", isMet: table.outOfOrder == 0),
      Promise(
        text: "every DEFER has its end in the trace, and that is the order's being carried out",
        measured: "\(grouped(proof.figures.committed)) carried out of \(grouped(proof.figures.kept)); "
          + "\(proof.figures.pending) pending, \(proof.figures.lost) lost, \(proof.figures.otherEnds) ended otherwise",
        isMet: proof.everyDeferHasItsEnd && proof.figures.committed == proof.figures.kept
          && proof.figures.kept > 0),
      Promise(
        text: "the trace is proved",
        measured: proof.judgements.map {
          "\($0.command) \($0.judgement.isGood ? "good" : $0.judgement.verdict)"
        }
        .joined(separator: ", "),
        isMet: proof.isGood),
    ]
  }

  /// The other way, so that there is something that the promises are worth.
  static func without(_ course: CourseResult) -> Promise {
    Promise(
      text: "without LTP users see errors, and orders are lost or there twice",
      measured: "\(grouped(course.tally.errorsAt.count)) errors, \(grouped(course.table.lost)) lost, "
        + "\(grouped(course.table.duplicates)) twice",
      isMet: !course.tally.errorsAt.isEmpty && course.table.lost + course.table.duplicates > 0)
  }
}
