// SPDX-License-Identifier: Apache-2.0
// Times in nanoseconds. Client and server share a host, so CLOCK_MONOTONIC is the same clock in both.

import Glibc

package enum Clock {
  package static func monotonic() -> UInt64 { read(CLOCK_MONOTONIC) }
  package static func unix() -> UInt64 { read(CLOCK_REALTIME) }
  /// Processor time, user and system, of this process with all its threads.
  package static func process() -> UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }
  /// Processor time of the calling thread.
  package static func thread() -> UInt64 { read(CLOCK_THREAD_CPUTIME_ID) }

  private static func read(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  package static func sleep(nanoseconds: UInt64) {
    var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    var left = timespec()
    while nanosleep(&time, &left) != 0, errno == EINTR { time = left }
  }
}
