// SPDX-License-Identifier: Apache-2.0
//
// The third line of an orientation: what a node tells the others of itself.
//
// Invariants: incarnation and lease are not zero; a field that `tells` does not name is. Offsets in errors count from the
// frame's first byte.

public import CLTP

/// What a node tells of itself beside its state.
public struct OrientationPeerView {
  /// The frame's third line.
  public let line: UnsafeRawPointer

  /// `line` must be the third line of an orientation that was checked, or is being checked.
  @inlinable
  init(line: UnsafeRawPointer) {
    self.line = line
  }

  /// All fields, copied.
  @inlinable public var fields: ltp_orientation_peer { line.loadUnaligned(as: ltp_orientation_peer.self) }

  func check() throws(FrameError) {
    let check = FrameCheck(fields, base: MemoryLayout<ltp_orientation>.size)
    let peer = check.part
    try check.require(peer.incarnation != 0, "orientation_peer.incarnation") { address(&$0.incarnation) }
    try check.require(peer.lease_ms != 0, "orientation_peer.lease_ms") { address(&$0.lease_ms) }
    try check.require(peer.tells & ~LTP_PEER_TELLS_ALL == 0, "orientation_peer.tells") {
      address(&$0.tells)
    }
    func isTold(_ fact: UInt32) -> Bool { peer.tells & fact != 0 }
    try check.require(
      isTold(LTP_PEER_TELLS_LATENCY) || peer.latency_us == 0, "orientation_peer.latency_us"
    ) { address(&$0.latency_us) }
    let lossMax = isTold(LTP_PEER_TELLS_LOSS) ? partsMax : 0
    try check.require(peer.loss_ppm <= lossMax, "orientation_peer.loss_ppm") { address(&$0.loss_ppm) }
    try check.require(
      isTold(LTP_PEER_TELLS_LOAD) || peer.load_permille == 0, "orientation_peer.load_permille"
    ) { address(&$0.load_permille) }
    try check.require(
      isTold(LTP_PEER_TELLS_CACHE_AGE) || peer.cache_age_s == 0, "orientation_peer.cache_age_s"
    ) { address(&$0.cache_age_s) }
    try check.requireZero(peer.reserved, "orientation_peer.reserved") { address(&$0.reserved) }
  }

  /// The line again, from its fields.
  var copied: ltp_orientation_peer {
    let seen = fields
    var copy = ltp_orientation_peer()
    copy.incarnation = seen.incarnation
    copy.lease_ms = seen.lease_ms
    copy.tells = seen.tells
    copy.latency_us = seen.latency_us
    copy.loss_ppm = seen.loss_ppm
    copy.load_permille = seen.load_permille
    copy.cache_age_s = seen.cache_age_s
    return copy
  }
}

extension FrameWriter where View == OrientationView {
  /// Sets the third line. Traps without `LTP_ORIENTATION_HAS_PEER`.
  public func setPeer(_ peer: ltp_orientation_peer) {
    set(peer, lastLineOffset: 0)
  }
}

/// A loss of everything, in parts per million.
let partsMax: UInt32 = 1_000_000
