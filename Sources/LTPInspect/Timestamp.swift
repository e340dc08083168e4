// SPDX-License-Identifier: Apache-2.0
// Unix nanoseconds as people write them: RFC 3339 in UTC, to the microsecond. Proleptic Gregorian calendar, no
// leap seconds, like every Unix clock.

public enum Timestamp {
  private static let secondsPerDay: Int64 = 86400

  /// "2026-03-01T09:05:07.000042Z", always 27 bytes up to the year 9999.
  public static func append(_ unixNanoseconds: UInt64, to out: inout TextBuffer) {
    let seconds = unixNanoseconds / 1_000_000_000
    let (year, month, day) = civil(days: Int64(seconds) / secondsPerDay)
    let second = seconds % UInt64(secondsPerDay)
    out.append(UInt64(year), width: 4)
    out.append(byte: 45)
    out.append(UInt64(month), width: 2)
    out.append(byte: 45)
    out.append(UInt64(day), width: 2)
    out.append(byte: 84)
    out.append(second / 3600, width: 2)
    out.append(byte: 58)
    out.append(second / 60 % 60, width: 2)
    out.append(byte: 58)
    out.append(second % 60, width: 2)
    out.append(byte: 46)
    out.append(unixNanoseconds % 1_000_000_000 / 1000, width: 6)
    out.append(byte: 90)
  }

  public static func text(_ unixNanoseconds: UInt64) -> String {
    var out = TextBuffer()
    append(unixNanoseconds, to: &out)
    return out.text
  }

  /// Unix nanoseconds from digits alone, or from "YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)".
  public static func parse(_ text: String) -> UInt64? {
    if let plain = UInt64(text) { return plain }
    var scanner = Scanner(Array(text.utf8))
    guard let year = scanner.number(4), scanner.skip(45), let month = scanner.number(2), scanner.skip(45),
      let day = scanner.number(2), scanner.skip(84) || scanner.skip(116) || scanner.skip(32),
      let hour = scanner.number(2), scanner.skip(58), let minute = scanner.number(2), scanner.skip(58),
      let second = scanner.number(2), (1...12).contains(month), (1...31).contains(day), hour < 24,
      minute < 60,
      second < 60
    else { return nil }
    let days = self.days(year: year, month: month, day: day)
    guard civil(days: days) == (year, month, day), let fraction = scanner.fraction(),
      let offsetSeconds = scanner.zone(), scanner.isAtEnd
    else { return nil }
    let seconds = days * secondsPerDay + hour * 3600 + minute * 60 + second - offsetSeconds
    guard seconds >= 0, seconds < 18_446_744_073 else { return nil }
    return UInt64(seconds) * 1_000_000_000 + fraction
  }

  /// Days since 1970-01-01, counted in years that begin in March, so that the leap day comes last.
  static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let monthFromMarch = (month + 9) % 12
    let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  /// The inverse of `days`, from 1970 on.
  static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  private struct Scanner {
    let bytes: [UInt8]
    var index = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { index == bytes.count }

    mutating func skip(_ byte: UInt8) -> Bool {
      guard index < bytes.count, bytes[index] == byte else { return false }
      index += 1
      return true
    }

    mutating func number(_ digits: Int) -> Int64? {
      guard index + digits <= bytes.count else { return nil }
      var value: Int64 = 0
      for _ in 0..<digits {
        guard (48...57).contains(bytes[index]) else { return nil }
        value = value * 10 + Int64(bytes[index] - 48)
        index += 1
      }
      return value
    }

    /// Nanoseconds; 0 without a fraction.
    mutating func fraction() -> UInt64? {
      guard skip(46) else { return 0 }
      var value: UInt64 = 0
      var digits = 0
      while index < bytes.count, (48...57).contains(bytes[index]) {
        if digits < 9 { value = value * 10 + UInt64(bytes[index] - 48) }
        digits += 1
        index += 1
      }
      guard digits > 0 else { return nil }
      for _ in min(digits, 9)..<9 { value *= 10 }
      return value
    }

    /// Seconds east of UTC.
    mutating func zone() -> Int64? {
      if skip(90) || skip(122) { return 0 }
      let sign: Int64 = skip(43) ? 1 : (skip(45) ? -1 : 0)
      guard sign != 0, let hours = number(2), skip(58), let minutes = number(2), hours < 24, minutes < 60
      else {
        return nil
      }
      return sign * (hours * 3600 + minutes * 60)
    }
  }
}
