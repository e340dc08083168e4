// SPDX-License-Identifier: Apache-2.0
// A PostgreSQL of the scenario's own: in a temporary directory, on a Unix socket alone, as another user than root.

import Foundation
import Stage
import Synchronization

final class PostgresServer: OrderDatabase {
  private static let user = "nobody"
  private static let startPatience = 30_000_000_000 as UInt64

  private let binaries: String
  private let directory: String
  private let server: Process
  private let postmaster: pid_t
  private let isGone = Mutex(false)

  let name: String
  let address: StoreAddress

  /// Where the newest of Debian's packages has its programs; nil: there is none.
  static var binaries: String? {
    let root = "/usr/lib/postgresql"
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    return versions.compactMap { version in Int(version).map { ($0, "\(root)/\(version)/bin") } }
      .filter { FileManager.default.isExecutableFile(atPath: $0.1 + "/postgres") }
      .max { $0.0 < $1.0 }?.1
  }

  init(binaries: String) throws {
    self.binaries = binaries
    var pattern = Array("/tmp/ltp-flicker-XXXXXX".utf8CString)
    guard let made = mkdtemp(&pattern) else { throw ScenarioFailure(system: "no temporary directory") }
    directory = String(cString: made)
    chmod(directory, 0o755)
    let data = "\(directory)/data"
    try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: false)
    chmod(data, 0o700)
    if getuid() == 0 {
      guard let owner = getpwnam(Self.user)?.pointee else { throw ScenarioFailure("there is no user nobody") }
      for place in [directory, data] { chown(place, owner.pw_uid, owner.pw_gid) }
    }
    let log = "\(directory)/log"
    let initializing = try Self.process(
      "\(binaries)/initdb", ["-D", data, "-U", "postgres", "-A", "trust", "-N"], in: directory, log: log)
    initializing.waitUntilExit()
    guard initializing.terminationStatus == 0 else {
      throw ScenarioFailure("initdb: \((try? String(contentsOfFile: log, encoding: .utf8)) ?? "no word")")
    }
    server = try Self.process(
      "\(binaries)/postgres",
      [
        "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories=\(directory)", "-c",
        "max_connections=200", "-c", "logging_collector=off",
      ], in: directory, log: log)
    postmaster = server.processIdentifier
    address = .postgres(
      "host=\(directory) user=postgres dbname=postgres options='-c client_min_messages=warning'")
    let store = address.open()
    let version: Int64
    do {
      version = try store.persist(for: Self.startPatience) { (store, deadline) throws(StoreFailure) in
        try store.rows("SELECT current_setting('server_version_num')", before: deadline)[0][0]
      }
    } catch { throw ScenarioFailure("PostgreSQL does not start: \(error); see \(log)") }
    name = "PostgreSQL \(version / 10_000).\(version % 10_000)"
    Interrupt.alsoEnd { [self] in stop() }
  }

  /// As nobody, when this is root: PostgreSQL refuses to be root. It dies with the scenario.
  private static func process(_ program: String, _ arguments: [String], in directory: String, log: String)
    throws -> Process
  {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
    var words = ["--pdeathsig", "KILL"]
    if getuid() == 0 {
      let group = getpwnam(user).map { String($0.pointee.pw_gid) } ?? "nogroup"
      words += ["--reuid", user, "--regid", group, "--clear-groups"]
    }
    process.arguments = words + [program] + arguments
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    process.environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C"]
    if !FileManager.default.fileExists(atPath: log) {
      _ = FileManager.default.createFile(atPath: log, contents: nil)
    }
    guard let output = FileHandle(forWritingAtPath: log) else {
      throw ScenarioFailure(system: "cannot write \(log)")
    }
    output.seekToEndOfFile()
    process.standardOutput = output
    process.standardError = output
    do { try process.run() } catch { throw ScenarioFailure("\(program): \(error.localizedDescription)") }
    return process
  }

  func prepare() throws {
    _ = try address.open().run(
      """
      DROP TABLE IF EXISTS orders, carried_out, probe;
      CREATE TABLE probe (n bigint); INSERT INTO probe VALUES (0);
      CREATE TABLE carried_out (client bigint, number bigint, PRIMARY KEY (client, number));
      CREATE TABLE orders (place bigserial PRIMARY KEY, client bigint, number bigint, amount bigint,
        at bigint DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint)
      """, before: Clock.monotonic() + Self.startPatience)
  }

  // MARK: Outages

  /// The server's processes; each has a process group of its own, so there is no one group to be stopped.
  private var children: [pid_t] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { pid_t($0) }.filter { child in
      guard let stat = try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8) else {
        return false
      }
      // After the name, which ends with the last bracket: the state, and the parent.
      let words = stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ")
      return words.count > 2 && pid_t(words[2]) == postmaster
    }
  }

  private func suspend() {
    // First who starts the others, so that there are no new ones.
    kill(postmaster, SIGSTOP)
    for child in children { kill(child, SIGSTOP) }
  }

  private func resume() {
    for child in children { kill(child, SIGCONT) }
    kill(postmaster, SIGCONT)
  }

  private func setReadOnly(_ isOn: Bool) throws {
    let deadline = Clock.monotonic() + Self.startPatience
    let store = address.open()
    _ = try store.run(
      "ALTER SYSTEM SET default_transaction_read_only = \(isOn ? "on" : "off")", before: deadline)
    _ = try store.rows("SELECT pg_reload_conf()", before: deadline)
    // A process that the server starts now has the new setting only when the others have been told of it.
    while Clock.monotonic() < deadline {
      let query = "SELECT (current_setting('default_transaction_read_only') = 'on')::int"
      if try address.open().rows(query, before: deadline) == [[isOn ? 1 : 0]] { return }
      Clock.sleep(nanoseconds: 2_000_000)
    }
    throw ScenarioFailure("PostgreSQL does not take its new setting")
  }

  func begin(_ outage: Outage) throws {
    switch outage {
    case .stopped: suspend()
    case .readOnly: try setReadOnly(true)
    }
  }

  func end(_ outage: Outage) throws {
    switch outage {
    case .stopped: resume()
    case .readOnly: try setReadOnly(false)
    }
  }

  func stop() {
    isGone.withLock { isGone in
      guard !isGone else { return }
      isGone = true
      resume()
      // Immediately: nobody needs what is in it any more.
      kill(postmaster, SIGQUIT)
      for _ in 0..<500 where server.isRunning { Clock.sleep(nanoseconds: 10_000_000) }
      try? FileManager.default.removeItem(atPath: directory)
    }
  }
}
