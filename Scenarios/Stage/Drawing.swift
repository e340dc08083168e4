// SPDX-License-Identifier: Apache-2.0
// The few shapes of SVG that the plots are made of.

package struct Drawing {
  package let width: Double
  package let height: Double
  private var body = ""

  package init(width: Double, height: Double) {
    self.width = width
    self.height = height
  }

  package enum Anchor: String {
    case start, middle, end
  }

  private func number(_ value: Double) -> String { fixed(value, 1) }

  package mutating func rectangle(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, fill: String, opacity: Double = 1
  ) {
    body +=
      "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(max(0, width)))\" height=\"\(number(height))\""
      + " fill=\"\(fill)\" fill-opacity=\"\(opacity)\"/>\n"
  }

  package mutating func line(
    _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, stroke: String, width: Double = 1,
    isDashed: Bool = false
  ) {
    body +=
      "<line x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\" stroke=\"\(stroke)\""
      + " stroke-width=\"\(width)\"\(isDashed ? " stroke-dasharray=\"7 5\"" : "")/>\n"
  }

  /// A line through points; `nil` interrupts it.
  package mutating func path(_ points: [(x: Double, y: Double)?], stroke: String, width: Double = 2) {
    var commands = ""
    var isDown = false
    for (index, point) in points.enumerated() {
      guard let point else {
        isDown = false
        continue
      }
      commands += "\(isDown ? "L" : "M")\(number(point.x)) \(number(point.y)) "
      // A point alone would not be seen.
      let isAlone = !isDown && (index + 1 == points.count || points[index + 1] == nil)
      if isAlone { commands += "h 3 " }
      isDown = true
    }
    guard !commands.isEmpty else { return }
    body +=
      "<path d=\"\(commands)\" fill=\"none\" stroke=\"\(stroke)\" stroke-width=\"\(width)\" stroke-linejoin=\"round\"/>\n"
  }

  package mutating func text(
    _ text: String, _ x: Double, _ y: Double, size: Double = 13, anchor: Anchor = .start,
    fill: String = "#1f2328", isBold: Bool = false
  ) {
    body +=
      "<text x=\"\(number(x))\" y=\"\(number(y))\" font-size=\"\(size)\" text-anchor=\"\(anchor.rawValue)\""
      + " fill=\"\(fill)\"\(isBold ? " font-weight=\"bold\"" : "")>\(text)</text>\n"
  }

  package var svg: String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" width="\(Int(width))" height="\(Int(height))" \
    viewBox="0 0 \(Int(width)) \(Int(height))" font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif">
    <rect width="100%" height="100%" fill="#ffffff"/>
    \(body)</svg>

    """
  }
}
