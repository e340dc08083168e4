// SPDX-License-Identifier: Apache-2.0
// Times as text, both ways, against Foundation's calendar.

import Foundation
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("timestamps", .guarded)
struct TimestampTests {
  @Test("RFC 3339 agrees with the calendar from 1970 to 2554")
  func calendar() throws {
    let formatter = ISO8601DateFormatter()
    for step in 0..<4000 as Range<UInt64> {
      let seconds = step * 4_611_686 + step % 86_400
      let expected = formatter.string(from: Date(timeIntervalSince1970: Double(seconds)))
      let nanoseconds = seconds * 1_000_000_000
      #expect(Timestamp.text(nanoseconds + 42_000) == expected.dropLast() + ".000042Z")
      #expect(Timestamp.parse(expected) == nanoseconds)
    }
  }

  @Test("forms that are taken, and forms that are not")
  func forms() {
    #expect(Timestamp.parse("1970-01-01T00:00:00Z") == 0)
    #expect(Timestamp.parse("1970-01-01T02:00:00.5+01:00") == 3_600_500_000_000)
    #expect(Timestamp.parse("1970-01-01 00:00:01z") == 1_000_000_000)
    #expect(Timestamp.parse("17") == 17)
    #expect(Timestamp.parse("2024-02-29T00:00:00Z") != nil)
    for wrong in [
      "", "x", "2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z", "2023-01-01T00:00:00", "2023-01-01T24:00:00Z",
      "2023-01-01T00:00:00.Z", "2023-01-01T00:00:00Z ", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "-1",
    ] {
      #expect(Timestamp.parse(wrong) == nil, "\(wrong)")
    }
  }
}
