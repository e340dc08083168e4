// SPDX-License-Identifier: Apache-2.0

import Foundation

package enum Descriptors {
  /// Raises the limit of open descriptors to `count`, as far as this user may.
  package static func raiseLimit(to count: Int) throws(ScenarioFailure) {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    guard limit.rlim_cur < rlim_t(count) else { return }
    limit.rlim_cur = rlim_t(count)
    limit.rlim_max = max(limit.rlim_max, rlim_t(count))
    guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
      throw ScenarioFailure(
        """
        \(count) descriptors are needed, one a client, and this user may open \(limit.rlim_max); \
        try `ulimit -Hn \(count)` as root, or fewer --clients
        """)
    }
  }
}
