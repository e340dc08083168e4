// SPDX-License-Identifier: Apache-2.0
// The outage over time: what was written and what was blocked, the invalid transitions, the handshakes, the state.

import Foundation
import Stage

struct Plot {
  private static let withColor = "#0969da"
  private static let withoutColor = "#cf222e"
  private static let gray = "#6e7781"
  private static let left = 92.0
  private static let right = 24.0
  private static let top = 104.0
  private static let bandTop = 740.0
  /// Finer than that, a burst that the policy allows looks like more than its rate.
  private static let binSeconds = 0.5

  private let result: ScenarioResult
  /// All times are seconds from its kill.
  private let courses: [CourseResult]
  private let from: Double
  private let to: Double
  private var drawing = Drawing(width: 1280, height: 830)

  init(_ result: ScenarioResult) {
    self.result = result
    courses = [result.without, result.with].compactMap { $0 }
    from = -(courses.map { Self.seconds($0.began, to: $0.killed) }.max() ?? 1)
    to = courses.map { Self.seconds($0.killed, to: $0.ended) }.max() ?? 1
  }

  static func svg(_ result: ScenarioResult) -> String {
    var plot = Plot(result)
    return plot.draw()
  }

  private static func seconds(_ from: UInt64, to: UInt64) -> Double {
    (Double(to) - Double(from)) / 1e9
  }

  private mutating func draw() -> String {
    title()
    outage()
    requests()
    invalid()
    handshakes()
    band()
    timeAxis()
    return drawing.svg
  }

  private func x(_ seconds: Double) -> Double {
    Self.left + (seconds - from) / (to - from) * (drawing.width - Self.left - Self.right)
  }

  // MARK: Frame

  private mutating func title() {
    drawing.text(
      result.quote.map { $0.prefix(1).uppercased() + $0.dropFirst() }
        ?? "The zombie order: an order server killed with clients on it",
      Self.left, 34, size: 20, isBold: true)
    drawing.text(
      "\(result.settings.clients) clients over WebSockets, orders in SQLite; the server is killed by SIGKILL at 0 and starts again at once, its venue lets it in at the outage's end",
      Self.left, 57, size: 14, fill: Self.gray)
    var place = Self.left
    for course in courses {
      drawing.line(place, 79, place + 30, 79, stroke: color(course), width: 3)
      drawing.text(course.hasAdmission ? "with LTP" : "without LTP", place + 38, 84, size: 14)
      place += 150
    }
    drawing.rectangle(place, 70, 30, 18, fill: "#bf8700", opacity: 0.22)
    drawing.text("outage", place + 38, 84, size: 14)
  }

  private func color(_ course: CourseResult) -> String {
    course.hasAdmission ? Self.withColor : Self.withoutColor
  }

  private mutating func outage() {
    drawing.rectangle(
      x(from), Self.top, x(to) - x(from), Self.bandTop + 30 - Self.top, fill: "#f6f8fa")
    guard let course = courses.last else { return }
    drawing.rectangle(
      x(0), Self.top, x(course.outageSeconds) - x(0), Self.bandTop + 30 - Self.top, fill: "#bf8700",
      opacity: 0.22)
  }

  private mutating func axis(_ panel: Panel, _ name: String) {
    for tick in 0...4 {
      let value = panel.high * Double(tick) / 4
      let y = panel.y(value)
      drawing.line(Self.left, y, drawing.width - Self.right, y, stroke: "#d0d7de", width: 0.8)
      drawing.text(grouped(Int(value.rounded())), Self.left - 10, y + 4.5, anchor: .end, fill: Self.gray)
    }
    drawing.text(name, Self.left, panel.top - 10, size: 13, isBold: true)
  }

  private mutating func timeAxis() {
    let step = [0.5, 1, 2, 5, 10, 20].first { (to - from) / $0 <= 20 } ?? 30
    var second = (from / step).rounded(.up) * step
    while second <= to {
      let place = x(second)
      drawing.line(place, Self.bandTop + 30, place, Self.bandTop + 35, stroke: Self.gray)
      drawing.text(
        second == second.rounded() ? fixed(second, 0) : fixed(second, 1), place, Self.bandTop + 50, size: 12,
        anchor: .middle, fill: Self.gray)
      second += step
    }
    drawing.text(
      "seconds since the kill", drawing.width - Self.right, Self.bandTop + 72, anchor: .end, fill: Self.gray)
  }

  // MARK: Curves

  /// A rate, by bins.
  private func rates(_ times: [Double]) -> [(time: Double, value: Double)] {
    var bins = [Double](repeating: 0, count: Int((to - from) / Self.binSeconds) + 1)
    for time in times where time >= from && time < to { bins[Int((time - from) / Self.binSeconds)] += 1 }
    return bins.enumerated().map {
      (from + (Double($0.offset) + 0.5) * Self.binSeconds, $0.element / Self.binSeconds)
    }
  }

  private func times(_ unix: [UInt64], _ course: CourseResult) -> [Double] {
    unix.map { Self.seconds(course.killed, to: $0) }
  }

  private func niceTop(_ value: Double) -> Double {
    let power = pow(10, floor(log10(max(value, 4))))
    return ([1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8].first { $0 * power >= value } ?? 10) * power
  }

  private mutating func curve(
    _ points: [(time: Double, value: Double)], _ panel: Panel, _ color: String, width: Double = 2
  ) {
    drawing.path(points.map { (x: x($0.time), y: panel.y($0.value)) }, stroke: color, width: width)
  }

  /// How many so far.
  private mutating func count(_ times: [Double], _ panel: Panel, _ color: String) {
    let steps = times.enumerated().map { (time: $0.element, value: Double($0.offset + 1)) }
    curve([(from, 0), (times.first ?? to, 0)] + steps + [(to, Double(times.count))], panel, color)
  }

  private mutating func requests() {
    let panel = Panel(top: 144, height: 170, low: 0, high: niceTop(Double(result.settings.requests)))
    axis(panel, "MODIFYs of the outage, so far: written to the database without LTP, blocked with it")
    for course in courses {
      let all = course.hasAdmission ? course.blockedAt : course.written.map(\.unixNanoseconds)
      count(times(all, course).filter { $0 >= 0 && $0 < course.outageSeconds }, panel, color(course))
    }
  }

  private mutating func invalid() {
    let most = courses.map { Double($0.invalidAt.count) }.max() ?? 1
    let panel = Panel(top: 358, height: 150, low: 0, high: niceTop(most))
    axis(panel, "invalid transitions in the order book, so far")
    for course in courses { count(times(course.invalidAt, course), panel, color(course)) }
  }

  private mutating func handshakes() {
    guard let course = result.with else { return }
    let points = rates(times(course.tally.livesAt, course))
    let panel = Panel(top: 552, height: 130, low: 0, high: niceTop((points.map(\.value).max() ?? 1) * 1.1))
    axis(panel, "handshakes a second; dashed: what the policy lets through")
    let y = panel.y(Double(Policy.hellosPerSecond))
    drawing.line(Self.left, y, drawing.width - Self.right, y, stroke: Self.gray, width: 1.5, isDashed: true)
    curve(points.filter { $0.time < to }, panel, Self.withColor)
  }

  private mutating func band() {
    guard let proof = result.proof, let course = result.with else {
      return drawing.text(
        "no orientation: this ran without LTP alone", Self.left, Self.bandTop + 20, fill: Self.gray)
    }
    var band = StateBand(top: Self.bandTop, height: 30)
    let left = -Self.seconds(course.began, to: course.killed)
    band.draw(proof.transitions, from: course.began, to: course.ended, in: &drawing) { [self] in x(left + $0)
    }
    drawing.text("LTP's orientation, from the trace", Self.left, Self.bandTop - 10, isBold: true)
    band.legend(at: Self.left + 240, in: &drawing)
  }
}
