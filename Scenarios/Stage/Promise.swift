// SPDX-License-Identifier: Apache-2.0

/// What must hold, and what was measured.
package struct Promise: Codable {
  package var text: String
  package var measured: String
  package var isMet: Bool
  /// Whether the machine's speed has a say in it.
  package var isTimed = false

  package init(text: String, measured: String, isMet: Bool, isTimed: Bool = false) {
    self.text = text
    self.measured = measured
    self.isMet = isMet
    self.isTimed = isTimed
  }

  package var line: String { "\(isMet ? "met   " : "MISSED")  \(text): \(measured)" }
}
