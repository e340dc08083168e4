// SPDX-License-Identifier: Apache-2.0
// The result as people read it.

import Stage

struct Table {
  let result: ScenarioResult

  init(_ result: ScenarioResult) { self.result = result }

  var text: String {
    var lines: [String] = []
    let courses = [result.without, result.with].compactMap { $0 }
    if let course = result.with ?? result.without {
      lines.append(
        "\(course.clients) clients, a server killed with \(grouped(course.clients * Int(Settings.ordersOfClient))) orders on it, "
          + "an outage of \(fixed(course.outageSeconds, 1)) s"
          + (result.compression == 1 ? "" : " (45 s at \(fixed(result.compression, 1)) times the speed)"))
      lines.append("")
    }
    lines.append(row("", courses.map { $0.hasAdmission ? "with LTP" : "without LTP" }))
    let facts: [(String, (CourseResult) -> Int)] = [
      ("MODIFYs asked in the outage", { $0.modifiesInOutage }),
      ("  blocked", { $0.blockedInOutage }),
      ("  written to the database", { $0.writtenInOutage }),
      ("zombie orders: a MODIFY taken as a CREATE", { $0.book.zombies }),
      ("changes to orders that were filled", { $0.book.changesToGone }),
      ("changes to orders that had changed meanwhile", { $0.book.staleChanges }),
      ("broken rows in the order book", { $0.book.brokenRows }),
    ]
    for (name, value) in facts { lines.append(row(name, courses.map { grouped(value($0)) })) }
    lines.append("")
    lines += Promises.check(result).map(\.line)
    if let quote = result.quote {
      lines.append("")
      lines.append("for the postmortem: \"\(quote)\"")
    }
    return lines.joined(separator: "\n")
  }

  private func row(_ name: String, _ values: [String]) -> String {
    func padded(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count))
    }
    return name + padded(name, 48) + values.map { padded($0, 14) + $0 }.joined()
  }
}
