// SPDX-License-Identifier: Apache-2.0
// Policies that tests start from, and how they change one.

package import CLTP
import LTPRules

package func builtInPolicy() -> ltp_policy {
  var policy = ltp_policy()
  DefaultPolicy.write(to: &policy)
  return policy
}

package func setRule(
  _ policy: inout ltp_policy, state: UInt8, _ actionClass: Int, _ change: (inout ltp_policy_rule) -> Void
) {
  withUnsafeMutablePointer(to: &policy) { pointer in
    var rule = UnsafePointer(pointer).rule(state: state, actionClass: actionClass)
    change(&rule)
    pointer.setRule(state: state, actionClass: actionClass, rule)
  }
}
