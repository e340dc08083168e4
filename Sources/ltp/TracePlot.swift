// SPDX-License-Identifier: Apache-2.0
// States as bands and decisions a second by verdict, over time, as inline SVG.

import LTPInspect

struct TracePlot {
  private static let width = 1056.0
  private static let height = 384.0
  private static let left = 64.0
  private static let right = 1044.0
  private static let bandTop = 30.0
  private static let bandHeight = 26.0
  private static let top = 86.0
  private static let bottom = 346.0
  private static let columnsMax = 245

  private struct Column {
    var from: Double
    var to: Double
    /// A second, in the order of `verdicts`.
    var rates: [Double]
  }

  private static let verdicts: [(name: String, colour: String)] = [
    ("EXECUTE", "#3f8f63"), ("replayed", "#3b6fb6"), ("DEFER", "#e0a526"), ("DENY", "#c2453d"),
  ]

  private let picture: TracePicture
  /// In seconds, on the wall clock.
  private let start: Double
  private let end: Double
  private let columns: [Column]

  init(_ picture: TracePicture) {
    self.picture = picture
    let buckets = picture.buckets
    let first = Double(buckets.firstUnixNanoseconds) / 1e9
    let width = Double(buckets.widthNanoseconds) / 1e9
    let group = max(1, (buckets.buckets.count + Self.columnsMax - 1) / Self.columnsMax)
    var columns: [Column] = []
    for begin in stride(from: 0, to: buckets.buckets.count, by: group) {
      let part = buckets.buckets[begin..<min(begin + group, buckets.buckets.count)]
      // The last one may be short of some: it is as long all the same, or its rate would be that of a moment.
      let seconds = Double(group) * width
      func rate(_ field: KeyPath<TimeBuckets.Bucket, UInt64>) -> Double {
        part.reduce(0.0) { $0 + Double($1[keyPath: field]) } / seconds
      }
      let from = first + Double(begin) * width
      columns.append(
        Column(
          from: from, to: from + seconds,
          rates: [rate(\.executed), rate(\.replayed), rate(\.deferred), rate(\.denied)]))
    }
    self.columns = columns
    let starts = picture.bands.map { Double($0.fromUnixNanoseconds) / 1e9 } + columns.prefix(1).map(\.from)
    let ends =
      picture.bands.map { Double($0.toUnixNanoseconds) / 1e9 } + [
        first + Double(buckets.buckets.count) * width
      ]
    start = starts.min() ?? 0
    end = max(ends.max() ?? 0, start + 1e-3)
  }

  private func x(_ time: Double) -> Double {
    Self.left + (Self.right - Self.left) * min(max((time - start) / (end - start), 0), 1)
  }

  var svg: String {
    let parts = [legend, bands, grid, bars, timeAxis]
    return "<svg viewBox=\"0 0 \(Self.number(Self.width)) \(Self.number(Self.height))\" role=\"img\" "
      + "aria-label=\"States, and decisions a second by verdict, over time\">\n\(parts.joined(separator: "\n"))\n</svg>"
  }

  // MARK: Parts

  private var legend: String {
    var place = Self.left
    var text = ""
    func add(_ name: String, _ colour: String) {
      text += Self.rectangle(place, 6, 12, 12, colour) + Self.text(place + 17, 16, name)
      place += 36 + Double(name.count) * 9.2
    }
    for verdict in Self.verdicts { add(verdict.name, verdict.colour) }
    place += 40
    var seen: Set<String> = []
    for band in picture.bands where seen.insert(band.state).inserted {
      add(band.state, Self.colour(band.state))
    }
    return text
  }

  private var bands: String {
    var text = Self.text(Self.left - 8, Self.bandTop + 17, "state", anchor: "end")
    for band in picture.bands {
      let from = x(Double(band.fromUnixNanoseconds) / 1e9)
      let width = max(1, x(Double(band.toUnixNanoseconds) / 1e9) - from)
      let title =
        "\(band.state) from \(Timestamp.text(band.fromUnixNanoseconds)) to \(Timestamp.text(band.toUnixNanoseconds))"
      text +=
        "<g><title>\(escaped(title))</title>"
        + Self.rectangle(from, Self.bandTop, width, Self.bandHeight, Self.colour(band.state)) + "</g>"
      if width > Double(band.state.count) * 8.6 + 8 {
        text += Self.text(from + width / 2, Self.bandTop + 17, band.state, anchor: "middle", style: "band")
      }
    }
    return text
  }

  private var highest: Double {
    let most = columns.map { $0.rates.reduce(0, +) }.max() ?? 0
    let step = Self.niceStep(most / 4)
    return most > 0 ? (most / step).rounded(.up) * step : 1
  }

  private func y(_ rate: Double) -> Double {
    Self.bottom - (Self.bottom - Self.top) * min(rate / highest, 1)
  }

  private var grid: String {
    let step = Self.niceStep(highest / 4.01)
    var text = Self.text(Self.left, Self.top - 12, "decisions a second")
    var rate = 0.0
    while rate <= highest * 1.0001 {
      let place = y(rate)
      text +=
        "<line x1=\"\(Self.number(Self.left))\" x2=\"\(Self.number(Self.right))\" y1=\"\(Self.number(place))\" "
        + "y2=\"\(Self.number(place))\" stroke=\"#d9dde4\"/>"
        + Self.text(Self.left - 8, place + 4, Self.rateText(rate), anchor: "end")
      rate += step
    }
    return text
  }

  private var bars: String {
    let scale = (Self.bottom - Self.top) / highest
    var text = ""
    for column in columns {
      let from = x(column.from)
      let width = max(0.6, x(column.to) - from)
      var floor = Self.bottom
      for (rate, verdict) in zip(column.rates, Self.verdicts) where rate > 0 {
        // What was there is seen, however little it was.
        let height = max(0.8, rate * scale)
        floor -= height
        text += Self.rectangle(from, floor, width, height, verdict.colour)
      }
    }
    return text
  }

  private var timeAxis: String {
    let span = end - start
    let steps: [Double] = [
      0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
      3600, 7200,
      14400, 21600, 43200, 86400,
    ]
    var step = steps.first { span / $0 <= 9 } ?? 86400
    while span / step > 9 { step *= 2 }
    var text =
      "<line x1=\"\(Self.number(Self.left))\" x2=\"\(Self.number(Self.right))\" y1=\"\(Self.number(Self.bottom))\" "
      + "y2=\"\(Self.number(Self.bottom))\" stroke=\"#7a8494\"/>"
    var time = (start / step).rounded(.up) * step
    while time <= end {
      let place = x(time)
      text +=
        "<line x1=\"\(Self.number(place))\" x2=\"\(Self.number(place))\" y1=\"\(Self.number(Self.bottom))\" "
        + "y2=\"\(Self.number(Self.bottom + 5))\" stroke=\"#7a8494\"/>"
      // A label beyond the edge would be cut.
      if place < Self.right - 24 {
        text += Self.text(place, Self.bottom + 19, Self.timeText(time, step: step), anchor: "middle")
      }
      time += step
    }
    let day = Timestamp.text(UInt64(start * 1e9)).prefix(10)
    return text + Self.text(Self.right, Self.bottom + 34, "UTC, \(day)", anchor: "end")
  }

  // MARK: Pieces

  private static func colour(_ state: String) -> String {
    switch state {
    case "HEALTHY": "#4c9a6d"
    case "DEGRADED": "#a58a1f"
    case "SATURATED": "#c9762b"
    case "UNSTABLE": "#bf4f74"
    case "FAILED": "#7a1f2b"
    case "RECOVERING": "#4d7fb8"
    default: "#7d8591"
    }
  }

  private static func rectangle(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ colour: String
  ) -> String {
    "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(width))\" height=\"\(number(height))\" "
      + "fill=\"\(colour)\"/>"
  }

  private static func text(
    _ x: Double, _ y: Double, _ text: String, anchor: String = "start", style: String? = nil
  ) -> String {
    "<text x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"\(anchor)\""
      + (style.map { " class=\"\($0)\"" } ?? "") + ">\(escaped(text))</text>"
  }

  /// To a hundredth, without what a Double adds.
  private static func number(_ value: Double) -> String {
    let hundredths = Int64((value * 100).rounded())
    let (whole, part) = (hundredths / 100, hundredths % 100)
    return part == 0 ? "\(whole)" : "\(whole).\(part < 10 ? "0" : "")\(part)"
  }

  /// 1, 2 or 5 times a power of ten, at least `least`.
  private static func niceStep(_ least: Double) -> Double {
    guard least > 0 else { return 1 }
    var step = 1e-6
    while step < least {
      if step * 2 >= least { return step * 2 }
      if step * 5 >= least { return step * 5 }
      step *= 10
    }
    return step
  }

  private static func rateText(_ rate: Double) -> String {
    switch rate {
    case 1e9...: "\(number(rate / 1e9)) G"
    case 1e6...: "\(number(rate / 1e6)) M"
    case 10_000...: "\(number(rate / 1000)) k"
    default: number(rate)
    }
  }

  /// The day where ticks are days apart, else the time of day, to what the step needs.
  private static func timeText(_ time: Double, step: Double) -> String {
    let text = Timestamp.text(UInt64((time * 1e6).rounded()) * 1000)
    if step >= 86400 { return String(text.prefix(10)) }
    let clock = text.dropFirst(11)
    return String(step >= 60 ? clock.prefix(5) : step >= 1 ? clock.prefix(8) : clock.prefix(12))
  }
}
