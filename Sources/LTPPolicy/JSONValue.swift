// SPDX-License-Identifier: Apache-2.0
// JSON as Foundation reads it, before it is known what it should hold.

import Foundation

enum JSONValue: Decodable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  init(from decoder: any Decoder) throws {
    if let container = try? decoder.container(keyedBy: Key.self) {
      var members: [String: JSONValue] = [:]
      for key in container.allKeys {
        members[key.stringValue] = try container.decode(JSONValue.self, forKey: key)
      }
      self = .object(members)
      return
    }
    if var container = try? decoder.unkeyedContainer() {
      var items: [JSONValue] = []
      while !container.isAtEnd { items.append(try container.decode(JSONValue.self)) }
      self = .array(items)
      return
    }
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int64.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else {
      self = .string(try container.decode(String.self))
    }
  }

  private struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// In words, for messages.
  var kind: String {
    switch self {
    case .null: "null"
    case .bool: "true or false"
    case .integer: "a whole number"
    case .number: "a number with a fraction, or too large a one"
    case .string: "a text"
    case .array: "a list"
    case .object: "an object"
    }
  }
}

/// Where a value is in the file: keys, and places in lists.
struct JSONPath: Hashable {
  var parts: [String] = []

  /// "signals.rules.CPU_PRESSURE.enter", "classes[2].id"
  var text: String {
    parts.reduce("") { $0 + ($0.isEmpty || $1.hasPrefix("[") ? "" : ".") + $1 }
  }

  static func + (path: JSONPath, part: String) -> JSONPath { JSONPath(parts: path.parts + [part]) }
  static func + (path: JSONPath, place: Int) -> JSONPath { path + "[\(place)]" }
}

/// The line of each value in a text that is known to be JSON, and of a key that an object has twice, which a decoder
/// does not tell.
struct JSONLines {
  private(set) var lines: [JSONPath: Int] = [:]
  private(set) var repeated: (key: String, line: Int)?
  /// The line of a comma before a closing bracket, which Foundation takes, and no other reader.
  private(set) var strayComma: Int?
  private let text: [UInt8]
  private var place = 0
  private var line = 1

  init(_ text: [UInt8]) {
    self.text = text
    scan(JSONPath())
  }

  /// Of the value, or of the nearest one around it.
  func line(of path: JSONPath) -> Int {
    var path = path
    while true {
      if let line = lines[path] { return line }
      guard !path.parts.isEmpty else { return 1 }
      path.parts.removeLast()
    }
  }

  private var next: UInt8 { place < text.count ? text[place] : 0 }

  private mutating func skipSpace() {
    while place < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[place]) {
      if text[place] == 0x0A { line += 1 }
      place += 1
    }
  }

  private mutating func scan(_ path: JSONPath) {
    skipSpace()
    lines[path] = lines[path] ?? line
    switch next {
    case UInt8(ascii: "{"): scanMembers(path)
    case UInt8(ascii: "["): scanItems(path)
    case UInt8(ascii: "\""): _ = scanString()
    default:
      while place < text.count, !",]} \t\r\n".utf8.contains(text[place]) { place += 1 }
    }
    skipSpace()
  }

  private mutating func scanMembers(_ path: JSONPath) {
    var keys: Set<String> = []
    place += 1
    skipSpace()
    while place < text.count, next != UInt8(ascii: "}") {
      let keyLine = line
      let key = scanString()
      if !keys.insert(key).inserted, repeated == nil { repeated = (key, keyLine) }
      lines[path + key] = keyLine
      skipSpace()
      place += 1  // the colon
      scan(path + key)
      skipComma(before: UInt8(ascii: "}"))
    }
    place += 1
  }

  private mutating func skipComma(before end: UInt8) {
    let commaLine = line
    let isComma = next == UInt8(ascii: ",")
    if isComma { place += 1 }
    skipSpace()
    if isComma, next == end, strayComma == nil { strayComma = commaLine }
  }

  private mutating func scanItems(_ path: JSONPath) {
    place += 1
    skipSpace()
    var count = 0
    while place < text.count, next != UInt8(ascii: "]") {
      scan(path + count)
      count += 1
      skipComma(before: UInt8(ascii: "]"))
    }
    place += 1
  }

  private mutating func scanString() -> String {
    let start = place
    place += 1
    while place < text.count, next != UInt8(ascii: "\"") { place += next == UInt8(ascii: "\\") ? 2 : 1 }
    place += 1
    let quoted = Data(text[start..<min(place, text.count)])
    let decoded = try? JSONDecoder().decode(String.self, from: quoted)
    return decoded ?? String(decoding: quoted.dropFirst().dropLast(), as: UTF8.self)
  }
}
