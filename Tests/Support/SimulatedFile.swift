// SPDX-License-Identifier: Apache-2.0
// One file of the simulated disk: what a reader sees, and what would be there after a power loss. The two differ
// in dirty sectors and in the size, until a sync.

import Glibc
package import LTPStorage

package final class SimulatedFile {
  package static let sectorBytes = 512

  /// What a read returns.
  package private(set) var visible: UnsafeMutableRawPointer
  /// What the device holds for certain.
  private var durable: UnsafeMutableRawPointer
  private var dirty: UnsafeMutablePointer<Bool>
  private var capacity: Int
  package private(set) var size = 0
  /// Under which it was made, or renamed last.
  package var name = FileName()
  private var durableSize = 0
  private var hasDirty = false

  package init() {
    capacity = 16 << 10
    visible = calloc(1, capacity)!
    durable = calloc(1, capacity)!
    dirty = calloc(1, capacity / Self.sectorBytes)!.assumingMemoryBound(to: Bool.self)
  }

  deinit {
    free(visible)
    free(durable)
    free(dirty)
  }

  private func grow(to bytes: Int) {
    guard bytes > capacity else { return }
    var wanted = capacity
    while wanted < bytes { wanted *= 2 }
    visible = Self.enlarge(visible, from: capacity, to: wanted)
    durable = Self.enlarge(durable, from: capacity, to: wanted)
    let flags = Self.enlarge(dirty, from: capacity / Self.sectorBytes, to: wanted / Self.sectorBytes)
    dirty = flags.assumingMemoryBound(to: Bool.self)
    capacity = wanted
  }

  private static func enlarge(
    _ memory: UnsafeMutableRawPointer, from: Int, to: Int
  ) -> UnsafeMutableRawPointer {
    let larger = realloc(memory, to)!
    memset(larger + from, 0, to - from)
    return larger
  }

  // MARK: What a file can do

  package func read(into memory: UnsafeMutableRawPointer, count: Int, offset: Int) -> Int {
    let got = max(0, min(count, size - offset))
    if got > 0 { memcpy(memory, visible + offset, got) }
    return got
  }

  /// A write that only a later sync makes durable.
  package func write(_ bytes: UnsafeRawPointer, count: Int, offset: Int) {
    guard count > 0 else { return }
    grow(to: offset + count)
    memcpy(visible + offset, bytes, count)
    markDirty(offset, offset + count)
    size = max(size, offset + count)
  }

  /// A write with data sync: these bytes, and a size that covers them, are on the device.
  package func writeDurably(_ bytes: UnsafeRawPointer, count: Int, offset: Int) {
    guard count > 0 else { return }
    write(bytes, count: count, offset: offset)
    for sector in sectors(offset, offset + count) { settle(sector) }
    durableSize = max(durableSize, offset + count)
  }

  package func truncate(to bytes: Int) {
    if bytes < size {
      memset(visible + bytes, 0, size - bytes)
      markDirty(bytes, size)
    } else {
      grow(to: bytes)
    }
    size = bytes
  }

  package func sync() {
    if hasDirty { for sector in 0..<capacity / Self.sectorBytes where dirty[sector] { settle(sector) } }
    hasDirty = false
    durableSize = size
  }

  /// What a failed sync leaves on Linux: nothing is dirty any more, and what was is gone.
  package func loseUnsynced() {
    memcpy(visible, durable, capacity)
    memset(dirty, 0, capacity / Self.sectorBytes)
    hasDirty = false
    size = durableSize
  }

  private func sectors(_ from: Int, _ to: Int) -> Range<Int> {
    from / Self.sectorBytes..<(to + Self.sectorBytes - 1) / Self.sectorBytes
  }

  private func markDirty(_ from: Int, _ to: Int) {
    hasDirty = true
    let range = sectors(from, to)
    memset(dirty + range.lowerBound, 1, range.count)
  }

  private func settle(_ sector: Int) {
    let offset = sector * Self.sectorBytes
    memcpy(durable + offset, visible + offset, Self.sectorBytes)
    dirty[sector] = false
  }

  // MARK: Power loss

  /// What a power loss does to sectors that were not synced.
  package enum Fate { case allKept, allLost, mixed }

  /// Leaves what a device may hold afterwards: each sector that was not synced is there, gone, torn or garbage.
  package func losePower(_ fate: Fate, _ random: inout SplitMix64) {
    let keepsSize = durableSize == size || fate == .allKept || (fate == .mixed && random.oneIn(2))
    if hasDirty {
      for sector in 0..<capacity / Self.sectorBytes where dirty[sector] {
        loseSector(sector, fate, &random)
        dirty[sector] = false
      }
    }
    hasDirty = false
    if keepsSize { durableSize = size }
    memset(durable + durableSize, 0, capacity - durableSize)
    memcpy(visible, durable, capacity)
    size = durableSize
  }

  private func loseSector(_ sector: Int, _ fate: Fate, _ random: inout SplitMix64) {
    let offset = sector * Self.sectorBytes
    let choice = fate == .mixed ? random.below(16) : (fate == .allKept ? 0 : 15)
    switch choice {
    case 0..<7: memcpy(durable + offset, visible + offset, Self.sectorBytes)
    case 7..<9:
      // Torn: new up to some byte, old from there on, or the other way round.
      let cut = random.below(Self.sectorBytes)
      if random.oneIn(2) {
        memcpy(durable + offset, visible + offset, cut)
      } else {
        memcpy(durable + offset + cut, visible + offset + cut, Self.sectorBytes - cut)
      }
    case 9:
      let words = (durable + offset).assumingMemoryBound(to: UInt64.self)
      for index in 0..<Self.sectorBytes / 8 { words[index] = random.next() }
    default: break
    }
  }

  // MARK: Tampering

  /// Changes a byte on the device.
  package func flip(byte offset: Int, mask: UInt8) {
    let value = visible.load(fromByteOffset: offset, as: UInt8.self) ^ mask
    visible.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
    durable.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
  }

  package func copy() -> SimulatedFile {
    let other = SimulatedFile()
    other.writeDurably(visible, count: size, offset: 0)
    return other
  }
}
