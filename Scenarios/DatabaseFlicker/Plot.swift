// SPDX-License-Identifier: Apache-2.0
// The outage over time: what the users sent, what they saw, what the database had, and the state.

import Foundation
import Stage

struct Plot {
  private static let withColor = "#0969da"
  private static let withoutColor = "#cf222e"
  private static let pendingColor = "#bf8700"
  private static let gray = "#6e7781"
  private static let left = 92.0
  private static let right = 24.0
  private static let stripeHeight = 150.0

  private let result: ScenarioResult
  private let courses: [CourseResult]
  private let from: Double
  private let to: Double
  private var drawing: Drawing
  private var top = 110.0

  private init(_ result: ScenarioResult) {
    self.result = result
    courses = [result.without].compactMap { $0 } + result.with.map(\.course)
    from = -(courses.map { Self.seconds($0.began, to: $0.outageBegan) }.max() ?? 1)
    to = courses.map { Self.seconds($0.outageBegan, to: $0.ended) }.max() ?? 1
    let height = 150 + Double(courses.count) * (Self.stripeHeight + 50) + Double(result.with.count) * 64
    drawing = Drawing(width: 1280, height: height)
  }

  static func svg(_ result: ScenarioResult) -> String {
    var plot = Plot(result)
    return plot.draw()
  }

  private static func seconds(_ from: UInt64, to: UInt64) -> Double {
    (Double(to) - Double(from)) / 1e9
  }

  private func x(_ seconds: Double) -> Double {
    Self.left + (seconds - from) / (to - from) * (drawing.width - Self.left - Self.right)
  }

  private mutating func draw() -> String {
    title()
    for course in courses { stripe(course, result.with.first { $0.course.name == course.name }?.proof) }
    timeAxis()
    return drawing.svg
  }

  private mutating func title() {
    let settings = result.settings
    drawing.text(
      "The database flicker: \(grouped(settings.orders)) orders while the database takes no writes",
      Self.left, 34, size: 20, isBold: true)
    drawing.text(
      "\(settings.clients) clients, an order service over \(result.database); orders so far", Self.left, 57,
      size: 14, fill: Self.gray)
    var place = Self.left
    for (name, color) in [
      ("sent", Self.gray), ("in the database", Self.withColor), ("told \"pending\"", Self.pendingColor),
      ("errors shown", Self.withoutColor),
    ] {
      drawing.line(place, 79, place + 30, 79, stroke: color, width: 3)
      drawing.text(name, place + 38, 84, size: 14)
      place += 170
    }
  }

  private mutating func stripe(_ course: CourseResult, _ proof: TraceProof?) {
    let most = Double(max(course.tally.sent.count, course.table.rows, course.tally.errorsAt.count, 4))
    let panel = Panel(top: top + 24, height: Self.stripeHeight, low: 0, high: most)
    drawing.rectangle(
      x(0), panel.top, x(course.outageSeconds) - x(0), panel.height, fill: Self.pendingColor, opacity: 0.16)
    for tick in 0...4 {
      let value = most * Double(tick) / 4
      let y = panel.y(value)
      drawing.line(Self.left, y, drawing.width - Self.right, y, stroke: "#d0d7de", width: 0.8)
      drawing.text(grouped(Int(value.rounded())), Self.left - 10, y + 4.5, anchor: .end, fill: Self.gray)
    }
    drawing.text(
      "\(course.hasLTP ? "with" : "without") LTP, the database \(course.outage.rawValue)", Self.left,
      top + 14,
      isBold: true)
    count(Array(course.tally.sent.values), course, panel, Self.gray)
    count(Array(course.table.writtenAt.values), course, panel, Self.withColor)
    count(Array(course.tally.deferred.values), course, panel, Self.pendingColor)
    count(course.tally.errorsAt, course, panel, Self.withoutColor)
    top += Self.stripeHeight + 50
    guard let proof else { return }
    var band = StateBand(top: top + 4, height: 20)
    let left = -Self.seconds(course.began, to: course.outageBegan)
    band.draw(proof.transitions, from: course.began, to: course.ended, in: &drawing) { [self] in x(left + $0)
    }
    band.legend(at: Self.left, in: &drawing)
    top += 64
  }

  /// How many so far.
  private mutating func count(_ times: [UInt64], _ course: CourseResult, _ panel: Panel, _ color: String) {
    guard !times.isEmpty else { return }
    let sorted = times.sorted().map { Self.seconds(course.outageBegan, to: $0) }
    var points: [(x: Double, y: Double)?] = [(x(from), panel.y(0)), (x(sorted[0]), panel.y(0))]
    points += sorted.enumerated().map { (x: x($0.element), y: panel.y(Double($0.offset + 1))) }
    points.append((x(to), panel.y(Double(times.count))))
    drawing.path(points, stroke: color)
  }

  private mutating func timeAxis() {
    let step = [0.5, 1, 2, 5, 10].first { (to - from) / $0 <= 24 } ?? 20
    var second = (from / step).rounded(.up) * step
    while second <= to {
      drawing.line(x(second), top, x(second), top + 5, stroke: Self.gray)
      drawing.text(
        fixed(second, second == second.rounded() ? 0 : 1), x(second), top + 20, size: 12, anchor: .middle,
        fill: Self.gray)
      second += step
    }
    drawing.text(
      "seconds since the writes stopped", drawing.width - Self.right, top + 38, anchor: .end, fill: Self.gray)
  }
}
