// SPDX-License-Identifier: Apache-2.0
// `ltp bench`: how many decisions a second this machine makes and proves.
//
// Exit status: 0 the trace proves every decision, 1 it does not or the bench could not finish, 2 bad
// options.

import ArgumentParser
import CLTP
import Foundation

enum BenchStorage: String, ExpressibleByArgument, CaseIterable {
  case auto
  case ioUring = "io_uring"
  case pwritev

  var number: UInt32 {
    switch self {
    case .auto: LTP_STORAGE_AUTO
    case .ioUring: LTP_STORAGE_IO_URING
    case .pwritev: LTP_STORAGE_PWRITEV
    }
  }
}

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure decisions a second on this machine, then prove every one of them from the trace.",
    discussion: """
      Lanes decide a seeded mix of requests through the C ABI while 1,000 state changes a second are \
      published. In turn: the machine's own limits (SHA-256, durable direct writes, a bare loop with the same \
      loads and stores); single calls and batches of 64 in bursts that the ring absorbs; flat out, waiting \
      for the trace; open loop at 0.5, 1, 2, 5 and 10 times what was sustained, latency counted from the \
      scheduled arrival; and at last the trace is verified and every record decided again.

      Progress goes to standard error, the table to standard output. Nothing else should run meanwhile.
      Exit status: 0 the trace proves every decision, 1 it does not or the bench could not finish, \
      2 an option cannot be used.

      Examples:
        ltp bench                            about a minute, at most 8 GB of trace, removed afterwards
        ltp bench --seconds 5 --json -       a short run, JSON to standard output, the table to standard error
        ltp bench --trace /data/t --keep     leaves the trace, for `ltp inspect`
      """)

  @Option(help: "Measured time in seconds, 1 to 600; opening and the proof come on top.")
  var seconds = 40.0

  @Option(help: "Lanes, each with a thread of its own, 1 to 64.")
  var lanes = 1

  @Option(help: "What the requests and the state changes are drawn from.")
  var seed: UInt64 = 1

  @Option(help: "How the trace is written: auto, io_uring or pwritev.")
  var storage = BenchStorage.auto

  @Option(
    help: "Directory for the trace, empty or new; kept afterwards. Default: a fresh one on disk, removed.")
  var trace: String?

  @Flag(help: "Keep the trace, and say where it is.")
  var keep = false

  @Option(help: "The trace grows to about this size at most, in GB, 0.5 to 1000; phases end early for it.")
  var traceGigabytes = 8.0

  @Option(help: "Write the figures as JSON to this file; '-' is standard output.")
  var json: String?

  func validate() throws {
    guard (1...600).contains(seconds) else {
      throw ValidationError("--seconds \(seconds) is not from 1 to 600")
    }
    guard (1...Int(64)).contains(lanes) else { throw ValidationError("--lanes \(lanes) is not from 1 to 64") }
    guard (0.5...1000).contains(traceGigabytes) else {
      throw ValidationError("--trace-gigabytes \(traceGigabytes) is not from 0.5 to 1000")
    }
    if let json, json != "-" {
      let parent = URL(fileURLWithPath: json).deletingLastPathComponent().path
      guard FileManager.default.isWritableFile(atPath: parent) else {
        throw ValidationError("--json \(json): its directory is missing or cannot be written to")
      }
    }
    if let trace, let names = try? FileManager.default.contentsOfDirectory(atPath: trace), !names.isEmpty {
      throw ValidationError("--trace \(trace) is not empty; give an empty or a new directory")
    }
  }

  func run() throws {
    do {
      try measure()
    } catch let failure as BenchFailure {
      FileHandle.standardError.write(Data("ltp bench: \(failure.description)\n".utf8))
      throw ExitCode(1)
    }
  }

  private func measure() throws {
    let directory = try BenchDirectory(given: trace)
    let keeps = keep || trace != nil
    defer { if !keeps { directory.remove() } }
    let interrupts = BenchInterrupt.handle(directory, keeps: keeps)
    defer { for source in interrupts { source.cancel() } }
    say("trace in \(directory.path), \(gigabytes(directory.freeBytes)) free")
    let settings = BenchSettings(
      seconds: seconds, lanes: lanes, seed: seed, storage: storage.number,
      traceBytesMax: UInt64(traceGigabytes * 1e9))
    var bench = try BenchRun(settings, in: directory)
    try bench.run()
    try output(bench.report)
    if keeps { say("the trace is in \(directory.path)") }
    guard bench.report.faults.isEmpty else { throw ExitCode(1) }
  }

  private func output(_ report: BenchReport) throws {
    let table = BenchTable(report).text
    if json == "-" {
      FileHandle.standardError.write(Data((table + "\n").utf8))
      try printJSON(report)
      return
    }
    print(table)
    guard let json else { return }
    do {
      try jsonData(report).write(to: URL(fileURLWithPath: json), options: .atomic)
    } catch {
      throw BenchFailure("cannot write \(json): \(error.localizedDescription)")
    }
  }
}
