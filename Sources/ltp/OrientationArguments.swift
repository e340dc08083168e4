// SPDX-License-Identifier: Apache-2.0
// The protocol's words as arguments.

public import ArgumentParser
public import LTP

extension State: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument) }

  public static var allValueStrings: [String] { allCases.map(\.description) }
  public var defaultValueDescription: String { description }
}

extension Signal: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument.uppercased()) }

  public static var allValueStrings: [String] {
    (1...Signal.operator.rawValue).map { Signal(rawValue: $0).description }
  }
  public var defaultValueDescription: String { description }
}

extension Evidence: ExpressibleByArgument {
  public init?(argument: String) {
    let parts = argument.split(separator: "=", maxSplits: 1)
    guard parts.count == 2, let signal = Signal(argument: String(parts[0])) else { return nil }
    let numbers = parts[1].split(separator: "/", omittingEmptySubsequences: false).map { Int64($0) }
    guard numbers.count == 2, let value = numbers[0], let threshold = numbers[1] else { return nil }
    self.init(signal, value: value, threshold: threshold)
  }
}
