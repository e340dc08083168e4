// SPDX-License-Identifier: Apache-2.0
// `ltp orientation`: the page that processes share, from a shell.

import ArgumentParser
import CLTP
import Foundation
import LTP
import LTPInspect

struct OrientationCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "orientation",
    abstract: "Read, publish or watch the orientation that processes share through a page.",
    discussion: """
      A page is a file that one process publishes in, its owner's, and any number follow \
      (ltp_core_options.orientation_page). Put it in memory, where only its owner can replace it: \
      /dev/shm/NAME, /run/NAME. What is published holds for a lease; after that everybody reads UNKNOWN.

        ltp orientation set /dev/shm/orders HEALTHY --hold &
        ltp orientation watch /dev/shm/orders
        ltp orientation set /dev/shm/orders UNSTABLE --reason DB_WRITE_LATENCY \\
            --evidence DB_WRITE_LATENCY=6200000/5000000 --text "leader election" --lease 60

      Exit status: 0 done, 1 the page cannot be used (the message says why), 2 bad usage.
      """,
    subcommands: [OrientationGet.self, OrientationSet.self, OrientationWatch.self])
}

/// Runs, and turns the library's error into exit status 1.
private func orFail(_ path: String, _ body: () throws -> Void) throws {
  do { try body() } catch let error as LTPError {
    FileHandle.standardError.write(Data("ltp orientation: \(path): \(error.message)\n".utf8))
    throw ExitCode(1)
  }
}

struct PageArguments: ParsableArguments {
  @Argument(help: "The page's file.")
  var path: String

  @Flag(help: "Also a page that neither this user nor root owns.")
  var anyOwner = false

  @Flag(help: "Print JSON, one object a line.")
  var json = false

  func open() throws(LTPError) -> PageReader { try PageReader(path: path, anyOwner: anyOwner) }

  func show(_ reading: PageReading) throws {
    if json {
      print(String(decoding: try jsonData(PageReadingJSON(reading), isLine: true), as: UTF8.self))
    } else {
      print(describe(reading))
    }
    // A program that reads our output wants each line at once.
    fflush(nil)
  }
}

private func describe(_ reading: PageReading) -> String {
  guard reading.epoch > 0 else { return "UNKNOWN: nothing was published yet" }
  var text = "\(reading.state): \(reading.reason) (epoch \(reading.epoch), was \(reading.from)"
  if let threshold = reading.priorityThreshold { text += ", priority from \(threshold)" }
  text += reading.leaseLeft > .zero ? ", lease \(seconds(reading.leaseLeft)) s)" : ", the lease has ended)"
  for fact in reading.evidence { text += "\n  \(fact.signal) \(fact.value), threshold \(fact.threshold)" }
  if !reading.text.isEmpty { text += "\n  \(printable(reading.text))" }
  return "\(Timestamp.text(reading.timeUnixNanoseconds)) \(text)"
}

/// Somebody else wrote it: no control characters to this terminal.
private func printable(_ text: String) -> String {
  String(
    String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 })
  )
}

private func seconds(_ duration: Duration) -> String {
  String(format: "%.3f", Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18)
}

private struct PageReadingJSON: Encodable {
  struct Fact: Encodable {
    var signal: String
    var value: Int64
    var threshold: Int64
  }

  var state: String
  var from: String
  var reason: String
  var epoch: UInt32
  var continuityEpoch: UInt32
  var priorityThreshold: UInt8?
  var publishedUnixNs: UInt64
  var leaseLeftNs: UInt64
  var evidence: [Fact]
  var text: String

  init(_ reading: PageReading) {
    state = reading.state.description
    from = reading.from.description
    reason = reading.reason.description
    epoch = reading.epoch
    continuityEpoch = reading.fields.continuity_epoch
    priorityThreshold = reading.priorityThreshold
    publishedUnixNs = reading.timeUnixNanoseconds
    leaseLeftNs = reading.fields.lease_left_ns
    evidence = reading.evidence.map {
      Fact(signal: $0.signal.description, value: $0.value, threshold: $0.threshold)
    }
    text = reading.text
  }
}

struct OrientationGet: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get", abstract: "Print what the page says now.")

  @OptionGroup var page: PageArguments

  func run() throws {
    try orFail(page.path) { try page.show(try page.open().read()) }
  }
}

struct OrientationWatch: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Print what the page says, and again whenever that changes. Ctrl-C ends it.",
    discussion: "A lease that ends is a change, and so is one that runs again.")

  @OptionGroup var page: PageArguments

  @Option(help: ArgumentHelp("End after this many lines; 0: never.", valueName: "n"))
  var count = 0

  func validate() throws {
    guard count >= 0 else { throw ValidationError("--count is 0 or more") }
  }

  func run() throws {
    try orFail(page.path) {
      let reader = try page.open()
      var printed = 0
      while true {
        let reading = try reader.read()
        try page.show(reading)
        printed += 1
        if printed == count { return }
        while try !reader.wait(after: reading, atMost: .seconds(3600)) {}
      }
    }
  }
}

struct OrientationSet: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set",
    abstract: "Publish a state in the page; makes the page if it is missing.",
    discussion: """
      Without --hold the state lasts for one lease, unless another is published. With --hold this process renews the \
      lease until it is ended (Ctrl-C, SIGTERM): from then on the lease runs out.
      """)

  @Argument(help: "The page's file.")
  var path: String

  @Argument(help: "The state; STABLE is HEALTHY.")
  var state: State

  @Option(
    help: ArgumentHelp("The signal that is the reason, for example DB_WRITE_LATENCY.", valueName: "signal"))
  var reason = Signal.operator

  @Option(help: ArgumentHelp("A measured fact; up to three.", valueName: "signal=value/threshold"))
  var evidence: [Evidence] = []

  @Option(help: ArgumentHelp("Free text, 119 bytes.", valueName: "text"))
  var text = ""

  @Option(
    help: ArgumentHelp(
      "Admit nothing of lower priority, 0 to 255; default: what followers' policies say.", valueName: "n"))
  var threshold: UInt8?

  @Flag(help: "Sessions must shake hands again. UNSTABLE and FAILED always ask for that.")
  var advanceContinuity = false

  @Option(
    help: ArgumentHelp("How long it holds unless it is renewed, 0.001 to 3600 s.", valueName: "seconds"))
  var lease = 10.0

  @Flag(help: "Renew the lease until this process is ended.")
  var hold = false

  func validate() throws {
    guard lease.isFinite, lease >= 0.001, lease <= 3600 else {
      throw ValidationError("--lease is from 0.001 to 3600 seconds")
    }
    guard evidence.count <= 3 else { throw ValidationError("there is room for three pieces of --evidence") }
    guard text.utf8.count <= 119 else {
      throw ValidationError("--text has \(text.utf8.count) bytes, and there is room for 119")
    }
    guard reason.rawValue <= Signal.operator.rawValue else {
      throw ValidationError("\(reason) is written by the core itself; publish an observation, or OPERATOR")
    }
  }

  func run() throws {
    try orFail(path) {
      let publisher = try PagePublisher(path: path, lease: .nanoseconds(Int64(lease * 1e9)))
      let epoch = try publisher.publish(
        Transition(
          to: state, because: reason, evidence: evidence, text: text, priorityThreshold: threshold,
          advancesContinuity: advanceContinuity))
      let until =
        hold ? "held until this process is ended" : "for \(seconds(.nanoseconds(Int64(lease * 1e9)))) s"
      print("\(state), epoch \(epoch), \(until)")
      fflush(nil)
      // A few times a lease; ended by a signal, and then the lease runs out.
      while hold {
        usleep(UInt32(min(lease / 4, 1) * 1e6))
        try publisher.renew()
      }
    }
  }
}
