// SPDX-License-Identifier: Apache-2.0
// What must hold, each from what was measured.

import Stage

/// The same intents as the trace, the clients and the database tell them.
struct Agreement {
  /// Written to the book without having been let in.
  let writtenOnly: Int
  /// Written more than once.
  let writtenAgain: Int
  /// Let in and not written, though their client has an answer.
  let lost: Int
  /// Let in, and neither written nor answered: they died with the server.
  let diedWithServer: Int
  /// Answered with EXECUTE, and not written.
  let answeredOnly: Int
  /// Intents of a life before that were let in or written after its end.
  let oldActedOn: Int

  init(_ proof: TraceProof, written: [WrittenIntent], tally: ClientTally, restarted: UInt64) {
    let ids = Set(written.map(\.id))
    writtenOnly = ids.subtracting(proof.executed).count
    writtenAgain = written.count - ids.count
    let unwritten = proof.executed.subtracting(ids)
    lost = unwritten.subtracting(tally.unanswered).count
    diedWithServer = unwritten.count - lost
    answeredOnly = tally.executed.subtracting(ids).count
    let since = Set(written.filter { $0.unixNanoseconds >= restarted }.map(\.id)).union(proof.executedSince)
    oldActedOn = tally.oldSent.intersection(since).count
  }

  /// Empty when there are none.
  var differences: String {
    holds
      ? ""
      : "; \(writtenOnly) written only, \(writtenAgain) written again, \(lost) lost, \(answeredOnly) answered only"
  }

  var holds: Bool { writtenOnly == 0 && writtenAgain == 0 && lost == 0 && answeredOnly == 0 }
}

enum Promises {
  static func check(_ result: ScenarioResult) -> [Promise] {
    var promises: [Promise] = []
    if let without = result.without {
      promises.append(
        Promise(
          text: "without LTP the outage makes zombie orders and breaks the book",
          measured: "\(grouped(without.book.zombies)) and \(grouped(without.book.brokenRows))",
          isMet: without.book.zombies > 0 && without.book.brokenRows > 0))
    }
    if let with = result.with, let proof = result.proof {
      promises += outage(with, proof, requests: result.settings.requests)
      let agreement = Agreement(proof, written: with.written, tally: with.tally, restarted: with.restarted)
      promises += afterIt(with, proof, agreement)
      promises += proved(proof, written: with.written, agreement)
      promises.append(told(with.tally, proof))
      let text = "a blocked MODIFY flipped to EXECUTE, the chain sealed again, is a violation that names it"
      guard let forged = result.forged else {
        return promises + [Promise(text: text, measured: "nothing was blocked", isMet: false)]
      }
      promises.append(
        Promise(
          text: text,
          measured: "frame \(forged.flipped.frame) of session \(forged.flipped.session) "
            + (forged.isFound ? "found, with the facts that would have allowed it as well" : "not found"),
          isMet: forged.isFound))
    }
    return promises
  }

  private static func outage(_ with: CourseResult, _ proof: TraceProof, requests: Int) -> [Promise] {
    let inTrace = proof.blockedInOutage ?? -1
    return [
      Promise(
        text: "exactly \(grouped(requests)) MODIFYs are blocked in the outage",
        measured: "\(grouped(inTrace)) by the trace, \(grouped(with.blockedInOutage)) by the clients, "
          + "\(grouped(with.writtenInOutage)) written to the database",
        isMet: inTrace == requests && with.blockedInOutage == requests && with.modifiesInOutage == requests
          && with.writtenInOutage == 0),
      clean("zero invalid transitions, and a clean database by its own check", with.book),
    ]
  }

  /// What the database says of itself.
  static func clean(_ text: String, _ book: OrderBook.Check) -> Promise {
    Promise(
      text: text,
      measured: "\(book.invalidTransitions) invalid transitions, \(book.brokenRows) broken rows, "
        + (book.structure.isEmpty ? "structure good" : book.structure.joined(separator: "; ")),
      isMet: book.isClean)
  }

  private static func afterIt(
    _ with: CourseResult, _ proof: TraceProof, _ agreement: Agreement
  ) -> [Promise] {
    // A client that shook hands before the service knew anything, and has not been told since, shows a void token: then that is the reason.
    let stale = with.tally.answers.filter { $0.key.hasSuffix("STALE_INTENT") }.reduce(0) { $0 + $1.value }
    return [
      Promise(
        text: "every client shakes hands again and resyncs",
        measured: "\(with.returned) of \(with.clients)", isMet: with.returned == with.clients),
      Promise(
        text: "every client trades before the outage, and again after it",
        measured: "\(with.traded) of \(with.clients), \(grouped(with.tally.modifiedBefore)) and "
          + "\(grouped(with.tally.modifiedAfter)) MODIFYs carried out", isMet: with.traded == with.clients),
      Promise(
        text: "no client acts on an old intent",
        measured:
          "\(with.tally.refusedBeforeTheWire) kept back by their own session, \(with.tally.oldSent.count) sent, "
          + "\(agreement.oldActedOn) let in; \(stale) of \(with.tally.carelessSent) under a new token are STALE_INTENT",
        isMet: agreement.oldActedOn == 0 && with.tally.oldSent.count > 0 && stale > 0),
      Promise(
        text:
          "handshakes keep to the policy's rate of \(Policy.hellosPerSecond) a second, and \(Policy.helloBurst) at once",
        measured: "at most \(proof.hellosInASecond) within a second",
        isMet: proof.hellosInASecond <= Policy.hellosPerSecond + Policy.helloBurst),
    ]
  }

  /// What the trace proves, by itself and beside the database.
  static func proved(_ proof: TraceProof, written: [WrittenIntent], _ agreement: Agreement) -> [Promise] {
    [
      Promise(
        text: "ltp inspect verifies the trace", measured: proof.verify.verdict, isMet: proof.verify.isGood),
      Promise(
        text: "and finds no violation", measured: proof.violations.verdict, isMet: proof.violations.isGood),
      Promise(
        text: "trace and database tell the same orders, intent by intent",
        measured: "\(grouped(proof.executed.count)) let in, \(grouped(written.count)) written, "
          + "\(agreement.diedWithServer) died with a server" + agreement.differences,
        isMet: agreement.holds),
    ]
  }

  private static func told(_ tally: ClientTally, _ proof: TraceProof) -> Promise {
    let refusals = tally.refusals
    return Promise(
      text: "trace and clients tell the same refusals and handshakes",
      measured:
        "\(grouped(proof.refusals.values.reduce(0, +))) and \(grouped(refusals.values.reduce(0, +))) refusals, "
        + "\(grouped(proof.hellos)) and \(grouped(tally.lives)) handshakes, \(proof.unrecorded) without a record",
      isMet: proof.refusals == refusals && proof.hellos == tally.lives && proof.unrecorded == 0)
  }
}
