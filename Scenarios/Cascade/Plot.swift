// SPDX-License-Identifier: Apache-2.0
// Goodput, latency, requests and state over time. Both ways of running lie over each other: each phase began anew.

import Foundation
import Stage

struct Plot {
  private static let withColor = "#0969da"
  private static let withoutColor = "#cf222e"
  private static let gray = "#6e7781"
  private static let grid = "#e4e7eb"
  private static let left = 92.0
  private static let right = 24.0
  private static let gap = 14.0
  /// How many bins a point of a line stands for: 0.2 s.
  private static let step = 2

  private let result: ScenarioResult
  private let phases: [PhaseResult]
  private var drawing = Drawing(width: 1280, height: 900)

  init(_ result: ScenarioResult) {
    self.result = result
    // The one whose runs are longer.
    phases = (result.without ?? result.with)?.phases ?? []
  }

  static func svg(_ result: ScenarioResult) -> String {
    var plot = Plot(result)
    return plot.draw()
  }

  private mutating func draw() -> String {
    let goodput = Panel(
      top: 178, height: 206, isLogarithmic: false, low: 0, high: niceTop(result.capacity * 1.25))
    let latency = Panel(top: 432, height: 170, isLogarithmic: true, low: 1, high: 10_000)
    let requests = Panel(top: 646, height: 108, isLogarithmic: true, low: 100, high: 100_000)
    let bandTop = 800.0
    title()
    for (index, phase) in phases.enumerated() { header(phase, index, bottom: bandTop + 30) }
    axis(goodput, "goodput: orders done within their client's timeout, a second", ticks: 4)
    axis(latency, "latency of answered orders, 99th percentile, ms (logarithmic)", ticks: 0)
    axis(requests, "requests a second with retries (logarithmic); thick gray: new intents", ticks: 2)
    for (index, phase) in phases.enumerated() {
      let y = goodput.y((result.with?.phases[index] ?? phase).capacity)
      drawing.line(
        x(index, 0), y, x(index, phase.phase.seconds), y, stroke: Self.gray, width: 1.5, isDashed: true)
    }
    for (index, phase) in phases.enumerated() {
      curve(phase, index, requests, Self.gray, width: 5, opacity: true) { Double($0.offered) }
    }
    for mode in modes {
      let color = mode.hasAdmission ? Self.withColor : Self.withoutColor
      for (index, phase) in mode.phases.enumerated() {
        curve(phase, index, goodput, color) { Double($0.good) }
        curve(phase, index, requests, color) { Double($0.requests) }
        latencyCurve(phase, index, latency, color)
      }
    }
    band(top: bandTop, height: 30)
    timeAxis(top: bandTop + 30)
    return drawing.svg
  }

  private var modes: [ModeResult] { [result.without, result.with].compactMap { $0 } }

  // MARK: Time

  private var scale: Double {
    let seconds = phases.reduce(0) { $0 + $1.phase.seconds }
    return (drawing.width - Self.left - Self.right - Self.gap * Double(max(0, phases.count - 1)))
      / max(seconds, 1)
  }

  private func x(_ index: Int, _ seconds: Double) -> Double {
    let before = phases[..<index].reduce(0) { $0 + $1.phase.seconds }
    return Self.left + (before + seconds) * scale + Double(index) * Self.gap
  }

  private func niceTop(_ value: Double) -> Double {
    let power = pow(10, floor(log10(max(value, 1))))
    let step = [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10].first { $0 * power >= value } ?? 10
    return step * power
  }

  // MARK: Frame

  private mutating func title() {
    drawing.text(
      "A retry storm: the same order service without LTP and with it", Self.left, 34, size: 21, isBold: true)
    drawing.text(
      "\(result.settings.clients) clients over TCP, \(result.settings.workers) workers, SQLite on disk; a client waits 250 to 500 ms, then tries again at once",
      Self.left, 57, size: 14, fill: Self.gray)
    var place = Self.left
    for mode in modes {
      let color = mode.hasAdmission ? Self.withColor : Self.withoutColor
      drawing.line(place, 79, place + 30, 79, stroke: color, width: 3)
      drawing.text(mode.hasAdmission ? "with LTP" : "without LTP", place + 38, 84, size: 14)
      place += 150
    }
    drawing.line(place, 79, place + 30, 79, stroke: Self.gray, width: 1.5, isDashed: true)
    drawing.text(
      "capacity, measured around each run: \(fixed(result.capacity, 0))/s in the median", place + 38, 84,
      size: 14)
    place += 440
    if phases.contains(where: { $0.locked != nil }) {
      drawing.rectangle(place, 70, 30, 18, fill: "#bf8700", opacity: 0.22)
      drawing.text("database locked by another process", place + 38, 84, size: 14)
    }
  }

  private mutating func header(_ phase: PhaseResult, _ index: Int, bottom: Double) {
    let from = x(index, 0)
    let to = x(index, phase.phase.seconds)
    drawing.rectangle(from, 100, to - from, bottom - 100, fill: "#f6f8fa")
    drawing.text(
      phase.phase.name.replacingOccurrences(of: "x", with: "×"), (from + to) / 2, 119, size: 15,
      anchor: .middle,
      isBold: true)
    drawing.text(
      "\(fixed(phase.phase.rate, 0)) intents/s", (from + to) / 2, 137, size: 13, anchor: .middle,
      fill: Self.gray)
    if let locked = phase.locked {
      drawing.rectangle(
        x(index, locked.from), 146, (locked.to - locked.from) * scale, bottom - 146, fill: "#bf8700",
        opacity: 0.22)
    }
  }

  private mutating func axis(_ panel: Panel, _ name: String, ticks: Int) {
    let values =
      panel.isLogarithmic
      ? [1, 10, 100, 1000, 10_000, 100_000].filter { panel.low <= $0 && $0 <= panel.high }
      : (0...ticks).map { panel.high * Double($0) / Double(ticks) }
    for value in values {
      let y = panel.y(value)
      drawing.line(Self.left, y, drawing.width - Self.right, y, stroke: "#d0d7de", width: 0.8)
      drawing.text(grouped(Int(value.rounded())), Self.left - 10, y + 4.5, anchor: .end, fill: Self.gray)
    }
    drawing.text(name, Self.left, panel.top - 10, size: 13, isBold: true)
  }

  private mutating func timeAxis(top: Double) {
    for (index, phase) in phases.enumerated() {
      for second in 0...Int(phase.phase.seconds) {
        let place = x(index, Double(second))
        drawing.line(place, top, place, top + 5, stroke: Self.gray)
        // Neighbours' first and last labels would touch.
        if second < Int(phase.phase.seconds) || index + 1 == phases.count {
          drawing.text("\(second)", place, top + 20, size: 12, anchor: .middle, fill: Self.gray)
        }
      }
    }
    drawing.text(
      "seconds since each run's beginning", drawing.width - Self.right, top + 42, anchor: .end,
      fill: Self.gray)
  }

  // MARK: Curves

  /// Sums of `step` bins, as a rate at their middle.
  private func rates(_ phase: PhaseResult, _ value: (Bin) -> Double) -> [(time: Double, value: Double)] {
    let width = PhaseResult.binSeconds * Double(Self.step)
    return stride(from: 0, to: phase.bins.count - Self.step, by: Self.step).map { first in
      let sum = phase.bins[first..<first + Self.step].reduce(0) { $0 + value($1) }
      return (Double(first) * PhaseResult.binSeconds + width / 2, sum / width)
    }
  }

  private mutating func curve(
    _ phase: PhaseResult, _ index: Int, _ panel: Panel, _ color: String, width: Double = 2,
    opacity: Bool = false,
    _ value: (Bin) -> Double
  ) {
    let points = rates(phase, value).map { (x: x(index, $0.time), y: panel.y($0.value)) }
    drawing.path(points, stroke: opacity ? "#afb8c1" : color, width: width)
  }

  private mutating func latencyCurve(_ phase: PhaseResult, _ index: Int, _ panel: Panel, _ color: String) {
    let points = stride(from: 0, to: phase.bins.count - Self.step, by: Self.step).map {
      first -> (x: Double, y: Double)? in
      var sum = Bin()
      for bin in phase.bins[first..<first + Self.step] { sum += bin }
      guard let latency = sum.latency(percentile: 99) else { return nil }
      let time = (Double(first) + Double(Self.step) / 2) * PhaseResult.binSeconds
      return (x(index, time), panel.y(latency))
    }
    drawing.path(points, stroke: color)
  }

  // MARK: State

  /// The orientation, from the trace's transitions.
  private mutating func band(top: Double, height: Double) {
    guard let proof = result.proof, let with = result.with else {
      drawing.text("no orientation: this ran without LTP alone", Self.left, top + 20, fill: Self.gray)
      return
    }
    var band = StateBand(top: top, height: height)
    for (index, phase) in with.phases.enumerated() {
      let end = phase.beganUnix + UInt64(phase.phase.seconds * 1e9)
      let (left, scale) = (x(index, 0), scale)
      band.draw(proof.transitions, from: phase.beganUnix, to: end, in: &drawing) { left + $0 * scale }
    }
    drawing.text("LTP's orientation, from the trace", Self.left, top - 10, isBold: true)
    band.legend(at: Self.left + 240, in: &drawing)
  }
}
