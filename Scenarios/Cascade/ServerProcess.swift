// SPDX-License-Identifier: Apache-2.0
// The server as a child: the same program started as `cascade serve`, with a pipe to tell it things and one to hear it.

import CLinux
import Foundation
import Glibc
import Synchronization

final class ServerProcess {
  let port: UInt16
  private let identifier: pid_t
  private let control: Int32
  private let answers: UnsafeMutablePointer<FILE>
  private var isWaitedFor = false

  /// The one child that an interrupt must end; 0: there is none.
  static let current = Atomic<pid_t>(0)

  init(arguments: [String]) throws(ScenarioFailure) {
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
    var words: [UnsafeMutablePointer<CChar>?] = (["cascade", "serve"] + arguments).map { strdup($0) } + [nil]
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
    Self.current.store(child, ordering: .releasing)
    var line = Self.readLine(answers)
    guard let text = line, text.hasPrefix("ready "), let number = UInt16(text.dropFirst(6)) else {
      line = nil
      port = 0
      throw ScenarioFailure("the server ended before it was ready; it says why above")
    }
    port = number
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

  func stats() throws(ScenarioFailure) -> ServerStats {
    guard write(control, "stats\n", 6) == 6, let line = Self.readLine(answers),
      let stats = try? JSONDecoder().decode(ServerStats.self, from: Data(line.utf8))
    else { throw ScenarioFailure("the server has died; it may say why above") }
    return stats
  }

  /// Throws when the server is not there any more.
  func check() throws(ScenarioFailure) {
    var status: Int32 = 0
    guard waitpid(identifier, &status, WNOHANG) == 0 else {
      isWaitedFor = true
      Self.current.store(0, ordering: .releasing)
      throw ScenarioFailure("the server has died (\(Self.describe(status))); it may say why above")
    }
  }

  /// Ends it in order, its trace sealed; throws when it did not end so.
  func stop() throws(ScenarioFailure) {
    let status = end(forced: false)
    guard status == 0 else {
      throw ScenarioFailure("the server did not end in order (\(Self.describe(status)))")
    }
  }

  /// Ends it at once, with all that waits in its queue.
  func kill() { end(forced: true) }

  @discardableResult
  private func end(forced: Bool) -> Int32 {
    guard !isWaitedFor else { return 0 }
    isWaitedFor = true
    if forced { Glibc.kill(identifier, SIGKILL) } else { write(control, "stop\n", 5) }
    var status: Int32 = 0
    while waitpid(identifier, &status, 0) < 0, errno == EINTR {}
    Self.current.store(0, ordering: .releasing)
    return status
  }

  private static func describe(_ status: Int32) -> String {
    let signal = status & 0x7F
    return signal == 0 ? "status \(status >> 8)" : "signal \(signal)"
  }
}
