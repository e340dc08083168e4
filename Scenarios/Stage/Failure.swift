// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What ends a scenario, in words for the person in front of it.
package struct ScenarioFailure: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }

  /// With the system's reason behind it.
  package init(system description: String) {
    self.description = "\(description): \(String(cString: strerror(errno)))"
  }
}

/// A line on standard error, where progress goes: standard output is for the result.
package func say(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
