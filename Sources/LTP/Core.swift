// SPDX-License-Identifier: Apache-2.0

public import CLTP
import Synchronization

/// One orientation, one policy, one trace. Lanes keep it open; `close()` says whether all is on disk.
public final class Core: Sendable {
  private nonisolated(unsafe) let handle: OpaquePointer
  let waiters: DurabilityWaiters
  private let isClosed = Atomic<Bool>(false)
  /// One close at a time.
  private let closing = Guarded(())

  /// The handle while the core is open.
  var live: OpaquePointer {
    get throws(LTPError) {
      guard !isClosed.load(ordering: .acquiring) else { throw LTPError(status: LTP_ERROR_BAD_HANDLE) }
      return handle
    }
  }

  /// Opens the trace in a directory that exists, recovering it if need be. Everything is UNKNOWN until something is
  /// published. May take long: every retained byte is checked, unless the options say otherwise.
  public init(_ options: Options) throws(LTPError) {
    var opened: OpaquePointer?
    try options.withFields { (fields) throws(LTPError) in
      try checkDetails { ltp_core_open(fields, &opened, $0) }
    }
    handle = opened!
    waiters = DurabilityWaiters()
  }

  public convenience init(traceDirectory: String) throws(LTPError) {
    try self.init(Options(traceDirectory: traceDirectory))
  }

  /// Takes over a core that was opened through the C contract: it is this one's to close.
  public init(adopting handle: OpaquePointer) {
    self.handle = handle
    waiters = DurabilityWaiters()
  }

  /// For functions of the C contract that have no name here.
  public var unsafeHandle: OpaquePointer { handle }

  deinit {
    waiters.end()
    if !isClosed.load(ordering: .acquiring) { _ = ltp_core_close(handle, 0, nil) }
  }

  /// Denies from now on, and makes everything durable. Lanes, and marks of theirs, must be gone within `limit`:
  /// `LTP_ERROR_LANES_OPEN` otherwise, and the core is still there. Whatever else it throws, the core is gone.
  public func close(waitingForLanes limit: Duration = .seconds(10)) throws(LTPError) {
    let error: LTPError? = closing.withLock { _ in
      guard !isClosed.load(ordering: .acquiring) else { return LTPError(status: LTP_ERROR_BAD_HANDLE) }
      var details = ltp_error()
      let status = ltp_core_close(handle, limit.nanoseconds, &details)
      let isThere = [LTP_ERROR_LANES_OPEN, LTP_ERROR_IN_USE, LTP_ERROR_CLOSING].contains(status)
      isClosed.store(!isThere, ordering: .releasing)
      return status == LTP_OK ? nil : LTPError(details)
    }
    if let error { throw error }
  }

  /// A way through the core for one thread or task at a time.
  public func openLane() throws(LTPError) -> Lane { Lane(try LaneOwner(self)) }

  // MARK: Orientation and policy

  /// Publishes a transition: every lane sees it with its next decision. Returns its epoch.
  @discardableResult
  public func publish(_ transition: Transition) throws(LTPError) -> UInt32 {
    let core = try live
    return try transition.publish { ltp_orientation_publish(core, $0, $1) }
  }

  /// The value that a signal has now, for a core that orients itself. `now`: orient in this call, not with the next tick.
  public func push(_ signal: Signal, _ value: Int64, now: Bool = false) throws(LTPError) {
    try check(ltp_signal_push(live, signal.rawValue, value, now ? LTP_PUSH_NOW : 0))
  }

  /// An operator's state, whatever the signals say, until `release()`.
  @discardableResult
  public func force(_ transition: Transition) throws(LTPError) -> UInt32 {
    let core = try live
    return try transition.publish { ltp_orientation_force(core, $0, $1) }
  }

  /// From here on the signals decide again.
  public func release() throws(LTPError) { try check(ltp_orientation_release(live, nil)) }

  /// The current orientation, as a frame for the wire.
  public func orientation() throws(LTPError) -> ltp_orientation {
    var frame = ltp_orientation()
    try check(ltp_orientation_get(live, &frame))
    return frame
  }

  /// Swaps the policy while lanes decide. Returns the new policy's number.
  @discardableResult
  public func load(_ policy: Policy) throws(LTPError) -> UInt32 {
    var generation: UInt32 = 0
    var details = ltp_policy_error()
    let core = try live
    let status = withUnsafePointer(to: policy.fields) { ltp_policy_load(core, $0, &generation, &details) }
    guard status == LTP_OK else { throw LTPError(details) }
    return generation
  }

  /// A second policy that decides beside the first and enforces nothing; its verdicts go into the trace, for
  /// `ltp inspect compare`. nil takes it away. Returns the number of the pair.
  @discardableResult
  public func shadow(_ policy: Policy?) throws(LTPError) -> UInt32 {
    var generation: UInt32 = 0
    var details = ltp_policy_error()
    let core = try live
    let status =
      policy.map { policy in
        withUnsafePointer(to: policy.fields) { ltp_policy_shadow(core, $0, &generation, &details) }
      } ?? ltp_policy_shadow(core, nil, &generation, &details)
    guard status == LTP_OK else { throw LTPError(details) }
    return generation
  }

  /// The number that stands for this text in frames. The trace holds the text.
  public func intern(_ text: String) throws(LTPError) -> UInt32 {
    var id: UInt32 = 0
    try check(ltp_text_intern(live, text, &id))
    return id
  }

  // MARK: Figures

  /// How often each verdict was given, by state, class and reason: those that were given at all.
  public func counters() throws(LTPError) -> [ltp_counter] {
    let core = try live
    var room = 256
    while true {
      var count = 0
      var status = LTP_OK
      let counters = [ltp_counter](unsafeUninitializedCapacity: room) { buffer, written in
        status = ltp_counters_read(core, buffer.baseAddress, room, &count)
        written = min(count, room)
      }
      if status == LTP_OK { return counters }
      guard status == LTP_ERROR_BUFFER_TOO_SMALL else { throw LTPError(status: status) }
      room = count + 64
    }
  }

  /// How the trace is doing.
  public func status() throws(LTPError) -> ltp_status {
    var status = ltp_status()
    try check(ltp_core_status(live, &status, MemoryLayout<ltp_status>.size))
    return status
  }

  /// For an event loop that holds answers until they are on disk: an eventfd, readable when a lane has more on disk of what is wanted
  /// (`DurabilityMark.want()`), or when the trace has failed. The loop reads its 8 bytes; the core closes it.
  public func durableDescriptor() throws(LTPError) -> Int32 {
    var descriptor: Int32 = -1
    try check(ltp_durable_descriptor(live, &descriptor))
    return descriptor
  }

  // MARK: Driven by the host

  /// With `Options.isHostDriven`: what to poll for. It is the core's, to read and to close.
  public func eventDescriptor() throws(LTPError) -> Int32 {
    var descriptor: Int32 = -1
    try check(ltp_event_descriptor(live, &descriptor))
    return descriptor
  }

  /// Does what the threads would do, without sleeping. One thread polls, until it ends polling: it does so, or closes the
  /// core, before the last reference to the core goes, which could be elsewhere.
  public func poll() throws(LTPError) { try check(ltp_poll(live)) }
  public func endPolling() throws(LTPError) { try check(ltp_poll_end(live)) }
}
