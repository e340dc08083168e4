// SPDX-License-Identifier: Apache-2.0
// The result as people read it.

import Stage

struct Table {
  let result: ScenarioResult

  init(_ result: ScenarioResult) { self.result = result }

  private var courses: [CourseResult] { [result.without].compactMap { $0 } + result.with.map(\.course) }

  var text: String {
    let settings = result.settings
    var lines = [
      "\(settings.clients) clients, an order service over \(result.database); writes stop for "
        + "\(courses.first.map { fixed($0.outageSeconds, 1) } ?? "-") s"
        + (result.compression == 1 ? "" : " (45 s at \(fixed(result.compression, 1)) times the speed)")
        + "; a write may take \(grouped(Int(settings.patience / 1_000_000))) ms; seed \(settings.seed)",
      "",
      row("", courses.map { $0.hasLTP ? "with LTP" : "without LTP" }),
      row("the database in the outage", courses.map(\.outage.rawValue)),
    ]
    let facts: [(String, (CourseResult) -> Int)] = [
      ("orders sent in the outage", { $0.sentInOutage }),
      ("  answered \"Order Received - Pending\"", { $0.deferredInOutage }),
      ("  confirmed to their users after it", { $0.confirmedLater }),
      ("orders sent in all", { $0.tally.sent.count }),
      ("errors that users saw", { $0.tally.errorsAt.count }),
      ("sent again by users", { $0.tally.refreshed }),
      ("orders lost", { $0.table.lost }),
      ("orders there twice", { $0.table.duplicates }),
      ("orders out of their client's order", { $0.table.outOfOrder }),
      ("replays held off: the order was there", { $0.status?.heldOff ?? 0 }),
    ]
    for (name, value) in facts { lines.append(row(name, courses.map { grouped(value($0)) })) }
    lines.append(
      row(
        "all processed, seconds after the outage",
        courses.map { $0.recoverySeconds.map { fixed($0, 2) } ?? "-" }))
    for proved in result.with { lines += ["", ""] + story(proved) }
    if let without = result.without { lines += ["", Promises.without(without).line] }
    for proved in result.with {
      lines += ["", "\(proved.course.outage.rawValue):"] + proved.promises.map(\.line)
    }
    return lines.joined(separator: "\n")
  }

  /// What happened to the state, and to one order.
  private func story(_ proved: ScenarioResult.Proved) -> [String] {
    let course = proved.course
    var lines = ["\(course.outage.rawValue), from the trace, in seconds since the writes stopped:"]
    lines += proved.proof.timeline(from: course.outageBegan)
    guard let first = course.tally.deferred.min(by: { $0.value < $1.value }),
      let written = course.table.writtenAt[first.key]
    else { return lines }
    func seconds(_ time: UInt64) -> String {
      fixed((Double(time) - Double(course.outageBegan)) / 1e9, 2, width: 7)
    }
    let name = "order \(first.key.number) of client \(first.key.client)"
    lines.append("\(seconds(course.tally.sent[first.key] ?? first.value)) s  \(name) is sent")
    lines.append("\(seconds(first.value)) s  its user reads \"\(course.tally.pendingText ?? "")\"")
    lines.append("\(seconds(written)) s  it is in the database")
    return lines
  }

  private func row(_ name: String, _ values: [String]) -> String {
    func padded(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count))
    }
    return name + padded(name, 44) + values.map { padded($0, 14) + $0 }.joined()
  }
}
