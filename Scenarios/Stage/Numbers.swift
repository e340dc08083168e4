// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them.

import Foundation

/// So many digits after the point, with spaces before it.
package func fixed(_ value: Double, _ digits: Int, width: Int = 0) -> String {
  let text = String(format: "%.\(digits)f", value)
  return String(repeating: " ", count: max(0, width - text.count)) + text
}

/// 4,000.
package func grouped(_ value: Int) -> String {
  var digits = Substring(String(abs(value)))
  var text = ""
  while digits.count > 3 {
    text = "," + digits.suffix(3) + text
    digits = digits.dropLast(3)
  }
  return (value < 0 ? "-" : "") + digits + text
}
