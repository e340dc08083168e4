// SPDX-License-Identifier: Apache-2.0

import Stage

struct ScenarioResult: Sendable {
  struct Proved: Sendable {
    var course: CourseResult
    var proof: TraceProof
    var promises: [Promise]
  }

  var settings: Settings
  var compression: Double
  var database: String
  var without: CourseResult?
  /// One for each kind of outage.
  var with: [Proved] = []

  var promises: [Promise] { (without.map { [Promises.without($0)] } ?? []) + with.flatMap(\.promises) }
}

enum Scenario {
  /// One way after the other, because they share the database.
  static func run(
    _ settings: Settings, compression: Double, on database: any OrderDatabase, without: Bool, with: Bool
  ) throws -> ScenarioResult {
    var result = ScenarioResult(settings: settings, compression: compression, database: database.name)
    if without {
      result.without = try Course(
        settings, on: database, outage: .stopped, hasLTP: false, name: "without"
      ).run()
    }
    guard with else { return result }
    for outage in Outage.allCases {
      let course = Course(settings, on: database, outage: outage, hasLTP: true, name: outage.rawValue)
      let ended = try course.run()
      say("\(course.files.name): the trace is read")
      let proof = try TraceProof(course.files.trace, pages: course.files.pages)
      var promises = Promises.check(ended, proof, orders: settings.orders)
      // Any will do; the last one was deferred by its state, and not after a write that had been too slow.
      if let last = ended.tally.deferred.max(by: { $0.value < $1.value }) {
        promises.append(try ForgedTrace(course.files.trace, executed: last.key).promise)
      }
      promises.append(
        try ForgedTrace(course.files.trace, withoutEndOf: { ended.tally.tickets[$0] }).promise)
      result.with.append(ScenarioResult.Proved(course: ended, proof: proof, promises: promises))
    }
    return result
  }
}
