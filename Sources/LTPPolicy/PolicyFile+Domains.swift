// SPDX-License-Identifier: Apache-2.0
// What a policy file says of continuity domains: "domains".

import CLTP
import LTP

extension Policy {
  /// Whose UNSTABLE the outage of a domain is, by their names in a file.
  package static let domainOutages: [(name: String, value: UInt8)] = [
    ("domain", LTP_OUTAGE_OF_DOMAIN), ("both", LTP_OUTAGE_OF_BOTH),
    ("service", LTP_OUTAGE_OF_SERVICE),
  ]
}

extension PolicyReader {
  mutating func readDomains(_ value: JSONValue, _ path: JSONPath) throws(PolicyFileError) {
    let members = try object(
      value, path, keys: ["stay_ms", "stay_max_ms", "half_life_ms", "outage", "hellos"])
    if let hellos = members["hellos"] { policy.fields.domains.hellos = try readRate(hellos, path + "hellos") }
    if let stay = members["stay_ms"] {
      policy.fields.domains.stay_ms = UInt32(try integer(stay, path + "stay_ms", 1...3_600_000))
    }
    if let most = members["stay_max_ms"] {
      let least = max(1, Int64(policy.fields.domains.stay_ms))
      policy.fields.domains.stay_ms_max = UInt32(try integer(most, path + "stay_max_ms", least...3_600_000))
    }
    if let half = members["half_life_ms"] {
      policy.fields.domains.half_life_ms = UInt32(try integer(half, path + "half_life_ms", 1...86_400_000))
    }
    if let named = members["outage"] {
      let name = try text(named, path + "outage")
      guard let outage = Policy.domainOutages.first(where: { $0.name == name }) else {
        throw fault(
          path + "outage",
          "\"outage\" is \"domain\", \"service\" or \"both\": whose UNSTABLE the outage of a domain is")
      }
      policy.fields.domains.outage = outage.value
    }
  }
}
