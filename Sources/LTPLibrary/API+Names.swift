// SPDX-License-Identifier: Apache-2.0
// ltp.h: versions, status texts, names. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CLTP
import LTPAdmission
import LTPCore
import LTPRecords

private func cString(_ text: StaticString) -> UnsafePointer<CChar> {
  UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

@c @implementation
public func ltp_abi_version() -> UInt32 { UInt32(LTP_ABI_VERSION) }

@c @implementation
public func ltp_version_string() -> UnsafePointer<CChar>! { cString("0.1.0") }

@c @implementation
public func ltp_status_text(_ status: Int32) -> UnsafePointer<CChar>! { cString(statusText(status)) }

@c @implementation
public func ltp_state_name(_ state: UInt8) -> UnsafePointer<CChar>! { cString(stateName(state)) }

@c @implementation
public func ltp_verdict_name(_ verdict: UInt8) -> UnsafePointer<CChar>! { cString(verdictName(verdict)) }

@c @implementation
public func ltp_reason_name(_ reason: UInt8) -> UnsafePointer<CChar>! { cString(reasonName(reason)) }

@c @implementation
public func ltp_end_name(_ end: UInt8) -> UnsafePointer<CChar>! { cString(endName(end)) }

@c @implementation
public func ltp_commitment_text(_ commitment: UInt8) -> UnsafePointer<CChar>! {
  cString(commitmentText(commitment))
}

@c @implementation
public func ltp_signal_name(_ signal: UInt8) -> UnsafePointer<CChar>! { cString(signalName(signal)) }
