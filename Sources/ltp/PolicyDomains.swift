// SPDX-License-Identifier: Apache-2.0
// What a policy says of continuity domains, as `ltp policy show` prints it: only what is set. The JSON is a policy file's "domains".

import CLTP
import LTP
import LTPPolicy

struct PolicyDomains: Encodable {
  var stayMs: UInt32?
  var stayMaxMs: UInt32?
  var halfLifeMs: UInt32?
  var outage: String?
  var hellos: PolicyLimits.Rate?

  /// Nil: nothing is set.
  init?(_ policy: Policy) {
    let domains = policy.fields.domains
    func set(_ value: UInt32) -> UInt32? { value == 0 ? nil : value }
    stayMs = set(domains.stay_ms)
    stayMaxMs = set(domains.stay_ms_max)
    halfLifeMs = set(domains.half_life_ms)
    if domains.outage != LTP_OUTAGE_OF_DOMAIN {
      outage = Policy.domainOutages.first { $0.value == domains.outage }?.name
    }
    hellos = PolicyLimits.Rate(domains.hellos)
    guard hellos != nil || stayMs ?? stayMaxMs ?? halfLifeMs != nil || outage != nil else { return nil }
  }

  var lines: [String] {
    var parts: [String] = []
    if let stayMs {
      parts.append("out for \(stayMs.grouped) ms after it is back, twice as long with each return")
    }
    if let stayMaxMs { parts.append("at most \(stayMaxMs.grouped) ms") }
    if let halfLifeMs { parts.append("returns count half after \(halfLifeMs.grouped) ms") }
    if let outage {
      parts.append(outage == "both" ? "its outage is the service's, too" : "its outage is the service's")
    }
    if let hellos { parts.append("\(hellos.text) hellos") }
    return ["a domain: " + parts.joined(separator: ", ")]
  }
}
