// SPDX-License-Identifier: Apache-2.0
// The numbers of a log that is already in the directory: how many are left, before it takes no more.

import LTPInspect

struct DoctorNumbers {
  /// Fewer than this are few: at one a second, 194 days.
  static let few: UInt32 = 1 << 24

  let directory: String

  func findings() -> [DoctorFinding] {
    do throws(InspectFailure) {
      return [Self.finding(try LogNumbers(ofTraceIn: directory))]
    } catch {
      // No trace yet, or none that can be read: `ltp inspect verify` says what is wrong with one.
      return []
    }
  }

  static func finding(_ numbers: LogNumbers) -> DoctorFinding {
    let used = [("runs", numbers.runs), ("lanes", numbers.lanes), ("policies", numbers.policies)]
    let low = used.filter { UInt32.max - $0.1 < few }
    guard !low.isEmpty else {
      let text = used.map { "\(UInt64($0.1).grouped) \($0.0)" }.joined(separator: ", ")
      return .ok("log's numbers", "\(text) of 4,294,967,295 each")
    }
    let left = low.map { "\(UInt64(UInt32.max - $0.1).grouped) \($0.0) left" }.joined(separator: ", ")
    return .warn(
      "log's numbers", left,
      change: "begin a new trace in an empty directory before they run out: the log then takes no more")
  }
}
