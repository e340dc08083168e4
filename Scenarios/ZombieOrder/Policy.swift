// SPDX-License-Identifier: Apache-2.0

import Foundation
import LTP
import LTPPolicy

/// The policy that the server decides by (policy.json), for those who measure it.
enum Policy {
  static func load() throws -> LTP.Policy { try PolicyFile.parse(Data(PackageResources.policy_json)) }

  private static let domains = try! load().fields.domains
  static var hellosPerSecond: Int { Int(domains.hellos.per_second) }
  static var helloBurst: Int { Int(domains.hellos.burst) }
}
