// SPDX-License-Identifier: Apache-2.0
// What stands in a plot: stripes with a scale, and the band of states.

import Foundation

/// One of a plot's stripes.
package struct Panel {
  package let top: Double
  package let height: Double
  package let isLogarithmic: Bool
  package let low: Double
  package let high: Double

  package init(top: Double, height: Double, isLogarithmic: Bool = false, low: Double, high: Double) {
    self.top = top
    self.height = height
    self.isLogarithmic = isLogarithmic
    self.low = low
    self.high = high
  }

  package func y(_ value: Double) -> Double {
    let clamped = min(max(value, low), high)
    let share =
      isLogarithmic ? log(clamped / low) / log(high / low) : (clamped - low) / (high - low)
    return top + height * (1 - share)
  }
}

/// The orientation over time, in colors.
package struct StateBand {
  private static let colors: [(state: String, color: String)] = [
    ("HEALTHY", "#4ac26b"), ("DEGRADED", "#eac54f"), ("SATURATED", "#fb8f44"), ("UNSTABLE", "#cf222e"),
    ("FAILED", "#57060a"), ("RECOVERING", "#a475f9"), ("UNKNOWN", "#8c959f"),
  ]

  private let top: Double
  private let height: Double
  private var seen: Set<String> = []

  package init(top: Double, height: Double) {
    self.top = top
    self.height = height
  }

  /// Draws what the transitions say of a stretch of time.
  ///
  /// - Parameters:
  ///   - start: Unix time in nanoseconds, as `end`.
  ///   - x: the place of so many seconds after `start`.
  package mutating func draw(
    _ transitions: [TracedTransition], from start: UInt64, to end: UInt64, in drawing: inout Drawing,
    x: (Double) -> Double
  ) {
    var state = transitions.last { $0.unixNanoseconds <= start }?.to ?? "UNKNOWN"
    var from = 0.0
    func seconds(_ time: UInt64) -> Double { Double(time - start) / 1e9 }
    let inside = transitions.filter { $0.unixNanoseconds > start && $0.unixNanoseconds < end }
    for (to, next) in inside.map({ (seconds($0.unixNanoseconds), $0.to) }) + [(seconds(end), "")] {
      let color = Self.colors.first { $0.state == state }?.color ?? "#000000"
      drawing.rectangle(x(from), top, x(to) - x(from), height, fill: color)
      seen.insert(state)
      (from, state) = (to, next)
    }
  }

  /// Names the colors that were used, above the band.
  package func legend(at left: Double, in drawing: inout Drawing) {
    var place = left
    for (state, color) in Self.colors where seen.contains(state) {
      drawing.rectangle(place, top - 22, 16, 14, fill: color)
      drawing.text(state, place + 22, top - 10)
      place += 44 + Double(state.count) * 9.2
    }
  }
}
