// SPDX-License-Identifier: Apache-2.0
//
// Compares the table of rooms in docs/ARCHITECTURE.md with what the sources import and what Package.swift declares.
// Prints each disagreement and exits with 1 when there is one. scripts/map runs it, with what `swift package dump-package`
// printed as its input.
//
// A cell of the column "may import" lists targets, separated by commas. What stands in parentheses is a remark. "all above"
// means every room above. "X by `ltp.h`" means that the room links X and calls its C functions, but does not import it.

import Foundation

let showsGraph = CommandLine.arguments.contains("--graph")

func fail(_ text: String) -> Never {
  FileHandle.standardError.write(Data("map: \(text)\n".utf8))
  exit(2)
}

func contents(_ path: String) -> String {
  guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { fail("\(path) cannot be read") }
  return text
}

func words(_ text: Substring) -> [String] {
  text.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init)
}

// ---- Package.swift

struct Target {
  var path: String
  var dependencies: Set<String>
}

let parsed = try? JSONSerialization.jsonObject(with: FileHandle.standardInput.readDataToEndOfFile())
guard let package = parsed as? [String: Any], let described = package["targets"] as? [[String: Any]] else {
  fail("swift package dump-package printed something else than a package")
}
let names = Set(described.compactMap { $0["name"] as? String })
var targets: [String: Target] = [:]
var tests: [String: Target] = [:]
for target in described {
  guard let name = target["name"] as? String else { continue }
  var dependencies: Set<String> = []
  for dependency in target["dependencies"] as? [[String: Any]] ?? [] {
    // {"byName": ["LTPFrames", null]} or {"target": [...]}; products of other packages are not rooms.
    for key in ["byName", "target"] {
      guard let list = dependency[key] as? [Any], let other = list.first as? String, names.contains(other)
      else { continue }
      dependencies.insert(other)
    }
  }
  let path = target["path"] as? String
  if target["type"] as? String == "test" {
    tests[name] = Target(path: path ?? "Tests/\(name)", dependencies: dependencies)
  } else {
    targets[name] = Target(path: path ?? "Sources/\(name)", dependencies: dependencies)
  }
}

// ---- The sources

/// The names among these that the files import, each with the first file that does.
func importsOf(_ directory: String, among names: Set<String>) -> [String: String] {
  guard let files = FileManager.default.enumerator(atPath: directory) else {
    fail("\(directory) cannot be read")
  }
  var found: [String: String] = [:]
  for case let file as String in files where file.hasSuffix(".swift") {
    for line in contents("\(directory)/\(file)").split(separator: "\n") where line.contains("import ") {
      let parts = line.split(separator: " ").map(String.init)
      guard let place = parts.firstIndex(of: "import") else { continue }
      let modifiers = ["public", "package", "internal", "fileprivate", "private"]
      guard parts[..<place].allSatisfy({ modifiers.contains($0) || $0.hasPrefix("@") }) else { continue }
      // `import Module`, `import struct Module.Type`
      let kinds = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
      guard let module = parts[(place + 1)...].first(where: { !kinds.contains($0) }) else { continue }
      let name = String(module.split(separator: ".")[0])
      if names.contains(name) { found[name] = found[name] ?? "\(directory)/\(file)" }
    }
  }
  return found
}

// ---- The table

struct Room {
  var line: Int
  var title: String
  var target: String?
  var imports: Set<String> = []
  var links: Set<String> = []
}

let page = "docs/ARCHITECTURE.md"
var problems: [String] = []
var rooms: [Room] = []
var inTable = false
var column = 0
for (index, line) in contents(page).split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
  let isRow = line.hasPrefix("|")
  if !isRow { inTable = false }
  let cells = line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().map {
    $0.trimmingCharacters(in: .whitespaces)
  }
  if isRow, cells.first == "room", let place = cells.firstIndex(of: "may import") {
    inTable = true
    column = place
    continue
  }
  guard inTable, isRow, !cells[0].hasPrefix("---") else { continue }
  guard cells.count > column else {
    problems.append("\(page):\(index + 1): the row has no cell \"may import\"")
    continue
  }
  var room = Room(line: index + 1, title: cells[0])
  room.target = words(Substring(cells[0])).first { targets[$0] != nil }
  if room.target == nil {
    let paths = cells[0].split(separator: "`", omittingEmptySubsequences: false)
    let isThere = paths.count > 1 && FileManager.default.fileExists(atPath: String(paths[1]))
    if !isThere { problems.append("\(page):\(index + 1): the room \(cells[0]) is no target and no path") }
    rooms.append(room)
    continue
  }
  let plain = cells[column].replacing(/\([^)]*\)/, with: "")
  for part in plain.split(separator: ",") {
    let text = part.trimmingCharacters(in: .whitespaces)
    if text == "all above" {
      room.imports.formUnion(rooms.compactMap(\.target))
    } else if let name = words(Substring(text)).first(where: { targets[$0] != nil }) {
      if text.contains("by `ltp.h`") { room.links.insert(name) } else { room.imports.insert(name) }
    } else if let name = words(Substring(text)).first {
      problems.append("\(page):\(index + 1): \(room.target!) may import \(name), which is no target")
    }
  }
  rooms.append(room)
}
guard !rooms.isEmpty else { fail("\(page) has no table with the columns \"room\" and \"may import\"") }

// ---- Comparison

let listed = rooms.compactMap(\.target)
for name in targets.keys.sorted() where !listed.contains(name) {
  problems.append("\(page): the target \(name) of Package.swift is not in the table")
}
for name in Set(listed) where listed.filter({ $0 == name }).count > 1 {
  problems.append("\(page): \(name) is in the table twice")
}
for (place, room) in rooms.enumerated() {
  guard let name = room.target, let target = targets[name] else { continue }
  let imported = importsOf(target.path, among: Set(targets.keys))
  let above = Set(rooms[..<place].compactMap(\.target))
  let row = "\(page):\(room.line)"
  if showsGraph { print("\(name): \(imported.keys.sorted().joined(separator: ", "))") }
  for other in imported.keys.sorted() where other != name {
    if !room.imports.contains(other) {
      problems.append("\(imported[other]!) imports \(other), which \(row) does not list")
    }
    if !target.dependencies.contains(other) {
      problems.append("\(imported[other]!) imports \(other), which Package.swift does not list for \(name)")
    }
  }
  for other in room.imports.union(room.links).union(target.dependencies).sorted() where !above.contains(other)
  {
    problems.append("\(row): \(name) stands above \(other), so it may not use it")
  }
  for other in room.imports.subtracting(imported.keys).sorted() {
    problems.append("\(row): \(name) may import \(other), but no file does")
  }
  for other in room.links.sorted() where !target.dependencies.contains(other) || imported[other] != nil {
    problems.append("\(row): \(name) is said to link \(other) and not to import it, which is not so")
  }
  for other in target.dependencies.subtracting(imported.keys).subtracting(room.links).sorted() {
    problems.append("Package.swift: \(name) depends on \(other), but no file imports it")
  }
}

// A test that imports what Package.swift does not list for it builds, but not again when that changes.
for (name, target) in tests.sorted(by: { $0.key < $1.key }) {
  for (other, file) in importsOf(target.path, among: Set(targets.keys)).sorted(by: { $0.key < $1.key })
  where !target.dependencies.contains(other) {
    problems.append("\(file) imports \(other), which Package.swift does not list for \(name)")
  }
}

for problem in problems { print("map: \(problem)") }
if problems.isEmpty, !showsGraph {
  print("map: \(listed.count) rooms, as in Package.swift and in the sources")
}
exit(problems.isEmpty ? 0 : 1)
