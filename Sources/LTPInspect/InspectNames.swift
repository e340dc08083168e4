// SPDX-License-Identifier: Apache-2.0
// The contract's names by their numbers, for whoever reads them from a command line.

import CLTP
import LTPRecords

public enum InspectNames {
  public static let states = (0..<UInt8(LTP_STATE_COUNT)).map { "\(stateName($0))" }
  public static let verdicts = (0..<UInt8(LTP_VERDICT_COUNT)).map { "\(verdictName($0))" }
  public static let reasons = (0..<UInt8(LTP_REASON_COUNT)).map { "\(reasonName($0))" }
}
