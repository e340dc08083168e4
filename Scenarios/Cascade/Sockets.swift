// SPDX-License-Identifier: Apache-2.0
// The few calls that both sides make: sockets on the loopback interface, epoll.

import CLinux
import Glibc
import Stage

enum Sockets {
  private static func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
    return address
  }

  private static func stream() -> Int32 {
    socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  }

  /// Answers leave at once: a frame is all that a peer waits for.
  private static func setNoDelay(_ descriptor: Int32) {
    var on: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
  }

  private static func setNonBlocking(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
  }

  /// Listens on a port that the system chooses.
  static func listen(backlog: Int32) throws(ScenarioFailure) -> (descriptor: Int32, port: UInt16) {
    let descriptor = stream()
    guard descriptor >= 0 else { throw ScenarioFailure(system: "no socket") }
    var address = loopback(port: 0)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, size) == 0 && Glibc.listen(descriptor, backlog) == 0
          && getsockname(descriptor, $0, &size) == 0
      }
    }
    guard bound else { throw ScenarioFailure(system: "cannot listen on the loopback interface") }
    setNonBlocking(descriptor)
    return (descriptor, UInt16(bigEndian: address.sin_port))
  }

  /// A connection that waits, or -1 when there is none.
  static func accept(_ listener: Int32) -> Int32 {
    let descriptor = accept4(listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue))
    if descriptor >= 0 { setNoDelay(descriptor) }
    return descriptor
  }

  static func connect(port: UInt16) throws(ScenarioFailure) -> Int32 {
    let descriptor = stream()
    guard descriptor >= 0 else { throw ScenarioFailure(system: "no socket for a client") }
    var address = loopback(port: port)
    let status = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard status == 0 else { throw ScenarioFailure(system: "a client cannot connect to the server") }
    setNoDelay(descriptor)
    setNonBlocking(descriptor)
    return descriptor
  }

}

/// One epoll instance; `data` comes back with each event.
struct Poller: ~Copyable {
  let descriptor: Int32
  private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: Self.eventsMax)
  private static let eventsMax = 1024

  init() throws(ScenarioFailure) {
    descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard descriptor >= 0 else { throw ScenarioFailure(system: "no epoll") }
  }

  deinit {
    close(descriptor)
    events.deallocate()
  }

  /// `once`: an event is told when it comes, not for as long as it lasts.
  func add(_ watched: Int32, data: UInt64, once: Bool = false) {
    let flags = once ? EPOLLIN.rawValue | EPOLLET.rawValue : EPOLLIN.rawValue
    var event = epoll_event(events: flags, data: epoll_data_t(u64: data))
    epoll_ctl(descriptor, EPOLL_CTL_ADD, watched, &event)
  }

  /// Whether to hear of room to write as well. What lasts is told again.
  func change(_ watched: Int32, data: UInt64, writes: Bool) {
    let flags = EPOLLIN.rawValue | EPOLLET.rawValue
    var event = epoll_event(events: writes ? flags | EPOLLOUT.rawValue : flags, data: epoll_data_t(u64: data))
    epoll_ctl(descriptor, EPOLL_CTL_MOD, watched, &event)
  }

  /// Waits for at most so many milliseconds, then calls `body` with each event's data and whether it can be read and
  /// written.
  func wait(milliseconds: Int32, _ body: (UInt64, _ reads: Bool, _ writes: Bool) -> Void) {
    let count = epoll_wait(descriptor, events, Int32(Self.eventsMax), milliseconds)
    for index in 0..<max(0, Int(count)) {
      let event = events[index]
      // Errors and hang-ups show themselves when one reads.
      body(
        event.data.u64, event.events & ~EPOLLOUT.rawValue != 0, event.events & EPOLLOUT.rawValue != 0)
    }
  }
}
