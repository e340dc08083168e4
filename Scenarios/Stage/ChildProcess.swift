// SPDX-License-Identifier: Apache-2.0
// The server as a child: the same program started as `NAME serve`, with a pipe to tell it things and one to hear it.

import CLinux
import Foundation
import Glibc
import Synchronization

package final class ChildProcess {
  private let identifier: pid_t
  private let control: Int32
  private let answers: UnsafeMutablePointer<FILE>
  private var isWaitedFor = false

  /// Those that an interrupt must end.
  private static let running = Mutex<Set<pid_t>>([])

  /// Ends all there are, at once.
  package static func killAll() { running.withLock { for child in $0 { Glibc.kill(child, SIGKILL) } } }

  /// Starts `name serve` with these arguments.
  package init(_ name: String, arguments: [String]) throws(ScenarioFailure) {
    var toChild: [Int32] = [0, 0]
    var fromChild: [Int32] = [0, 0]
    guard pipe2(&toChild, O_CLOEXEC) == 0, pipe2(&fromChild, O_CLOEXEC) == 0 else {
      throw ScenarioFailure(system: "no pipe")
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, toChild[0], STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, fromChild[1], STDOUT_FILENO)
    defer { posix_spawn_file_actions_destroy(&actions) }
    var words: [UnsafeMutablePointer<CChar>?] = ([name, "serve"] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var child: pid_t = 0
    let status = posix_spawn(&child, "/proc/self/exe", &actions, nil, &words, environ)
    close(toChild[0])
    close(fromChild[1])
    guard status == 0 else {
      throw ScenarioFailure("the server cannot be started: \(String(cString: strerror(status)))")
    }
    identifier = child
    control = toChild[1]
    answers = fdopen(fromChild[0], "r")
    _ = Self.running.withLock { $0.insert(child) }
  }

  /// Returns once it says that it is ready; for a server that listens where it was told to.
  package func ready() throws(ScenarioFailure) { _ = try port() }

  /// The port that it listens on, once it says "ready PORT"; 0: it listens on none.
  package func port() throws(ScenarioFailure) -> UInt16 {
    guard let text = Self.readLine(answers), text.hasPrefix("ready "), let number = UInt16(text.dropFirst(6))
    else { throw ScenarioFailure("the server ended before it was ready; it says why above") }
    return number
  }

  deinit {
    if !isWaitedFor { end(forced: true) }
    close(control)
    fclose(answers)
  }

  private static func readLine(_ stream: UnsafeMutablePointer<FILE>) -> String? {
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    let count = getline(&line, &capacity, stream)
    guard count > 0, let line else { return nil }
    return String(decoding: UnsafeRawBufferPointer(start: line, count: count - 1), as: UTF8.self)
  }

  /// Says a line to it and returns the line that it answers; nil: it has died.
  package func ask(_ line: String) -> String? {
    let line = line + "\n"
    guard write(control, line, line.utf8.count) == line.utf8.count else { return nil }
    return Self.readLine(answers)
  }

  /// Throws when the server is not there any more.
  package func check() throws(ScenarioFailure) {
    var status: Int32 = 0
    guard waitpid(identifier, &status, WNOHANG) == 0 else {
      isGone()
      throw ScenarioFailure("the server has died (\(Self.describe(status))); it may say why above")
    }
  }

  /// Ends it in order, its trace sealed; throws when it did not end so.
  package func stop() throws(ScenarioFailure) {
    let status = end(forced: false)
    guard status == 0 else {
      throw ScenarioFailure("the server did not end in order (\(Self.describe(status)))")
    }
  }

  /// Ends it at once, with all that waits in its queue; throws when it had ended by itself.
  package func kill() throws(ScenarioFailure) {
    let status = end(forced: true)
    guard status & 0x7F == SIGKILL else {
      throw ScenarioFailure(
        "the server had died before it was killed (\(Self.describe(status))); it may say why above")
    }
  }

  @discardableResult
  private func end(forced: Bool) -> Int32 {
    guard !isWaitedFor else { return 0 }
    if forced { Glibc.kill(identifier, SIGKILL) } else { write(control, "stop\n", 5) }
    var status: Int32 = 0
    while waitpid(identifier, &status, 0) < 0, errno == EINTR {}
    isGone()
    return status
  }

  private func isGone() {
    isWaitedFor = true
    _ = Self.running.withLock { $0.remove(identifier) }
  }

  private static func describe(_ status: Int32) -> String {
    let signal = status & 0x7F
    return signal == 0 ? "status \(status >> 8)" : "signal \(signal)"
  }
}
