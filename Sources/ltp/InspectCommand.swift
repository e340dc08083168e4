// SPDX-License-Identifier: Apache-2.0
// `ltp inspect`: what a trace says, and whether it can be believed. Never writes.
//
// Exit status: 0 good, 1 a violation, 2 input that cannot be judged.

import ArgumentParser
import Foundation
import LTPInspect

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Verify, summarize, print, decide again or compare what a trace holds. Never writes.",
    discussion: """
      Exit status: 0 the trace is good, 1 it breaks a rule (the message names segment, offset and sequence), \
      2 it cannot be judged (the message says what to do).
      """,
    subcommands: [
      InspectVerify.self, InspectSummary.self, InspectShow.self, InspectPolicies.self, InspectRedecide.self,
      InspectViolations.self, InspectExplain.self, InspectCount.self, InspectCompare.self,
      InspectTimeline.self,
      InspectAudit.self, InspectOutcome.self,
    ])
}

/// What every subcommand takes.
struct InspectArguments: ParsableArguments {
  @Argument(help: "The directory that the core writes its trace to.")
  var directory: String

  @Flag(help: "Print JSON.")
  var json = false

  @Flag(help: "Say on standard error how far it is, also when that is not a terminal.")
  var progress = false

  @Flag(help: "Read through the page cache.")
  var cached = false

  var inspector: Inspector {
    var options = InspectOptions()
    options.readsDirect = !cached
    if progress || isatty(STDERR_FILENO) == 1 {
      let meter = ProgressMeter()
      options.progress = { meter.show($0) }
    }
    return Inspector(directory, options: options)
  }

  /// Runs, clears the progress line, and turns a failure into exit status 2.
  func run<Result>(_ body: (Inspector) throws(InspectFailure) -> Result) throws -> Result {
    do {
      let result = try body(inspector)
      clearProgress()
      return result
    } catch {
      clearProgress()
      FileHandle.standardError.write(Data("ltp inspect: \(error.message)\n".utf8))
      throw ExitCode(2)
    }
  }

  private func clearProgress() {
    if isatty(STDERR_FILENO) == 1 { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
  }
}

/// Unix nanoseconds, as an option of this name says them.
func time(_ text: String, option: String) throws -> UInt64 {
  guard let time = Timestamp.parse(text) else {
    throw ValidationError(
      "\(option) is a time with its zone, like 2026-03-01T09:05:07Z, or Unix nanoseconds")
  }
  return time
}

/// The time between two options' texts; where one is not given, from the beginning or to the end.
func window(from: String?, to: String?) throws -> SummaryWindow {
  var window = SummaryWindow()
  if let from { window.from = try time(from, option: "--from") }
  if let to { window.to = try time(to, option: "--to") }
  guard window.from < window.to else { throw ValidationError("--from is before --to") }
  return window
}

/// Says how far a scan is, at most twice a second.
final class ProgressMeter {
  private let began = Date()
  private var last = Date()

  func show(_ progress: ScanProgress) {
    let now = Date()
    guard now.timeIntervalSince(last) >= 0.5 else { return }
    last = now
    let seconds = now.timeIntervalSince(began)
    let line = String(
      format: "segment %llu of %llu, %.2f GB, %.2f GB/s", progress.segmentsDone + 1, progress.segmentCount,
      Double(progress.bytes) / 1e9, Double(progress.bytes) / 1e9 / seconds)
    let isTerminal = isatty(STDERR_FILENO) == 1
    FileHandle.standardError.write(Data((isTerminal ? "\r\(line)\u{1B}[K" : "\(line)\n").utf8))
  }
}

/// The end of every report: what was found, in words.
func printFindings(_ report: InspectReport) {
  for note in report.notes { print("note: \(note)") }
  for violation in report.violations { print("VIOLATION [\(violation.kind.rawValue)] \(violation.text)") }
  let unlisted = report.violationCount - UInt64(report.violations.count)
  if unlisted > 0 { print("... and \(unlisted) more") }
}

func printJSON(_ value: some Encodable) throws {
  print(String(decoding: try jsonData(value), as: UTF8.self))
}

/// Keys in snake case and in order; `isLine`: all in one line.
func jsonData(_ value: some Encodable, isLine: Bool = false) throws -> Data {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  if !isLine { encoder.outputFormatting.insert(.prettyPrinted) }
  encoder.keyEncodingStrategy = .convertToSnakeCase
  return try encoder.encode(value)
}

/// A span as people read it.
func spanText(_ totals: LogTotals) -> String {
  guard let first = totals.firstUnixNanoseconds, let last = totals.lastUnixNanoseconds else { return "-" }
  let seconds = Double(last) / 1e9 - Double(first) / 1e9
  return "\(Timestamp.text(first)) to \(Timestamp.text(last)) (\(String(format: "%.3f", seconds)) s)"
}

/// With spaces behind it, at least so wide.
func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}

extension BinaryInteger {
  /// With commas between thousands.
  var grouped: String {
    let digits = String(magnitude)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return (self < 0 ? "-" : "") + text
  }
}
