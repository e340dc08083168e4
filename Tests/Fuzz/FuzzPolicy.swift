// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's target for policy files. For every input: an error with a line, or a policy that the core would load.
// FUZZ_CANARY_POLICY plants a bug that the fuzzer must find.

import CLTP
import Foundation
import LTP
import LTPPolicy

/// Called by libFuzzer with each input. Traps on a finding.
@c(LLVMFuzzerTestOneInput)
public func fuzzPolicy(_ input: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let data = input.map { Data(bytes: $0, count: count) } ?? Data()
  var policy: Policy
  do { policy = try PolicyFile.parse(data) } catch {
    guard error.line >= 1, !error.reason.isEmpty else { fatalError("an error that says nothing") }
    return 0
  }
  #if FUZZ_CANARY_POLICY
    if policy.fields.priority_threshold.1 > 0 { policy.fields.reserved.0 = 1 }
  #endif
  do { try policy.check() } catch { fatalError("parsed, and refused: \(error)") }
  return 0
}
