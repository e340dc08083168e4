// SPDX-License-Identifier: Apache-2.0

public import CLTP

/// The caller's side: denies before the wire what the server would most likely deny, and keeps retries to a share of the
/// requests. Any number of threads and tasks.
public final class ClientThrottle: Sendable {
  private nonisolated(unsafe) let throttle: UnsafeMutablePointer<ltp_throttle>

  /// The options' ranges are in ltp.h; `LTP_ERROR_OPTION_RANGE` outside them.
  public init(_ options: ltp_throttle_options = builtInOptions) throws(LTPError) {
    let memory = UnsafeMutablePointer<ltp_throttle>.allocate(capacity: 1)
    memory.initialize(to: ltp_throttle())
    var options = options
    let status = ltp_throttle_init(memory, &options)
    throttle = memory
    guard status == LTP_OK else { throw LTPError(status: status) }
  }

  deinit { throttle.deallocate() }

  /// K = 2 over two minutes; one retry in ten requests, and ten a second.
  public static var builtInOptions: ltp_throttle_options {
    var options = ltp_throttle_options()
    _ = ltp_throttle_options_init(&options, MemoryLayout<ltp_throttle_options>.size)
    return options
  }

  /// Whether to send a request; false: treat it as denied.
  public func shouldSend() -> Bool { ltp_throttle_request(throttle, 0) == LTP_OK }
  /// The server took a request.
  public func accepted() { _ = ltp_throttle_accepted(throttle, 0) }
  /// Whether a request may be tried again.
  public func mayRetry() -> Bool { ltp_throttle_retry(throttle, 0) == LTP_OK }
}
