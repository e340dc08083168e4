// SPDX-License-Identifier: Apache-2.0
// A disk in memory, shared by the processes that open it one after the other: directory, files, the device's
// queue, and its own clock. `losePower` and `kill` are the two ways in which a process ends without warning.

import CLTP
import CLTPSystem
package import LTPStorage

package final class SimulatedDisk {
  package struct Entry {
    package var name: FileName
    package var file: SimulatedFile
  }

  enum DirectoryChange {
    case enter(FileName, SimulatedFile)
    case rename(FileName, FileName, SimulatedFile)
    case remove(FileName)
  }

  package struct Operation {
    var token: UInt64
    var handle: Int32
    /// nil: a sync.
    package var write: StorageWrite?
    var readyAt: UInt64
  }

  var random: SplitMix64
  package var faults = SimulatedFaults()
  /// Nanoseconds; moved on by whoever drives the disk, and by sleeping.
  package var now: UInt64 = 1_000_000_000

  package var entries: [Entry] = []
  private var durableEntries: [Entry] = []
  private var unsyncedChanges: [DirectoryChange] = []

  private var handles: [SimulatedFile?] = []
  private var locks: [(file: SimulatedFile, owner: Int)] = []
  private var directoryOwner: Int?
  private(set) var ownersCount = 0
  package var queue: [Operation] = []

  /// Dead: no call does anything any more, until the power comes back.
  package private(set) var isDead = false
  package private(set) var callCount = 0
  private var counts = [Int](repeating: 0, count: SimulatedCall.allCases.count)
  package var logIDs: UInt64 = 0
  /// Called at each call of the seam that does something, before it: what another thread does meanwhile. It makes no
  /// call of the seam itself. nil: a block or a sync is started, or completed.
  package var meanwhile: ((SimulatedCall?) -> Void)?

  package init(seed: UInt64) { random = SplitMix64(seed: seed) }

  func newOwner() -> Int {
    ownersCount += 1
    return ownersCount
  }

  /// Counts a call; throws when it is to fail. `countsAsCall`: death can strike before it.
  func enter(_ call: SimulatedCall, _ operation: StorageFault.Operation) throws(StorageFault) {
    meanwhile?(call)
    callCount += 1
    if faults.diesAtCall != 0, callCount == faults.diesAtCall { isDead = true }
    if isDead { throw StorageFault(operation, code: LTP_SYSTEM_EIO) }
    if let code = plannedCode(call) { throw StorageFault(operation, code: code) }
  }

  /// The error that this use of the call is to give, if any.
  func plannedCode(_ call: SimulatedCall) -> Int32? {
    counts[call.rawValue] += 1
    guard !faults.planned.isEmpty else { return nil }
    let count = counts[call.rawValue]
    for fault in faults.planned
    where fault.call == call && count >= fault.nth && count < fault.nth + fault.times {
      return fault.code
    }
    return nil
  }

  /// The bug that the file has, if any.
  func planted(in file: SimulatedFile) -> PlantedBug? {
    file.name.has(faults.plantedPrefix, at: 0) ? faults.planted : nil
  }

  /// Counts calls and their faults from 0 again.
  package func plan(_ faults: SimulatedFaults) {
    self.faults = faults
    callCount = 0
    for index in counts.indices { counts[index] = 0 }
  }

  // MARK: Directory

  package func file(_ name: FileName) -> SimulatedFile? { entries.first { $0.name == name }?.file }

  package func segmentIndices(of naming: ChainNaming = .trace) -> [UInt64] {
    var found: [UInt64] = []
    for entry in entries {
      if case .segment(let index) = naming.file(named: entry.name) { found.append(index) }
    }
    return found.sorted()
  }

  package func create(_ name: FileName) -> SimulatedFile {
    let file = SimulatedFile()
    file.name = name
    entries.append(Entry(name: name, file: file))
    unsyncedChanges.append(.enter(name, file))
    return file
  }

  func rename(_ from: FileName, to: FileName) -> Bool {
    guard let file = file(from) else { return false }
    file.name = to
    Self.apply(.rename(from, to, file), to: &entries)
    unsyncedChanges.append(.rename(from, to, file))
    return true
  }

  package func remove(_ name: FileName) -> Bool {
    guard file(name) != nil else { return false }
    Self.apply(.remove(name), to: &entries)
    unsyncedChanges.append(.remove(name))
    return true
  }

  package func syncDirectory() {
    durableEntries = entries
    unsyncedChanges.removeAll(keepingCapacity: true)
  }

  private static func apply(_ change: DirectoryChange, to entries: inout [Entry]) {
    switch change {
    case .enter(let name, let file):
      entries.removeAll { $0.name == name }
      entries.append(Entry(name: name, file: file))
    case .rename(let from, let to, let file):
      entries.removeAll { $0.name == from || $0.name == to }
      entries.append(Entry(name: to, file: file))
    case .remove(let name): entries.removeAll { $0.name == name }
    }
  }

  // MARK: Handles and locks

  func open(_ file: SimulatedFile) -> Int32 {
    handles.append(file)
    return Int32(handles.count - 1)
  }

  func close(_ handle: Int32) {
    guard let file = handles[Int(handle)] else { return }
    handles[Int(handle)] = nil
    locks.removeAll { $0.file === file }
  }

  func opened(_ handle: Int32) -> SimulatedFile {
    guard let file = handles[Int(handle)] else { fatalError("a closed handle is used") }
    return file
  }

  package var openHandleCount: Int { handles.count { $0 != nil } }

  func lockDirectory(_ owner: Int) -> Bool {
    guard directoryOwner == nil || directoryOwner == owner else { return false }
    directoryOwner = owner
    return true
  }

  func lock(_ file: SimulatedFile, _ owner: Int) -> Bool {
    if let holder = locks.first(where: { $0.file === file }) { return holder.owner == owner }
    locks.append((file, owner))
    return true
  }

  /// The owner's storage is gone: the directory's descriptor is closed.
  func leave(_ owner: Int) { if directoryOwner == owner { directoryOwner = nil } }

  // MARK: Sudden ends

  /// The process is gone; the machine runs on. What was under way ends one way or the other.
  package func kill() {
    for operation in queue where !random.oneIn(3) { land(operation, whole: random.oneIn(2)) }
    forgetProcess()
  }

  /// The power is gone: of what was not synced, each sector and each directory change is kept or lost.
  package func losePower() {
    for operation in queue where !random.oneIn(4) { land(operation, whole: random.oneIn(2)) }
    let fates: [SimulatedFile.Fate] = [.allKept, .allLost, .mixed, .mixed]
    let fate = fates[random.below(4)]
    let directoryFate = fates[random.below(4)]
    // A file may hang in several entries, before and after a rename.
    var seen: [SimulatedFile] = []
    for change in unsyncedChanges
    where directoryFate == .allKept || (directoryFate == .mixed && random.oneIn(2)) {
      Self.apply(change, to: &durableEntries)
    }
    for entry in durableEntries where !seen.contains(where: { $0 === entry.file }) {
      seen.append(entry.file)
      entry.file.losePower(fate, &random)
    }
    entries = durableEntries
    unsyncedChanges.removeAll(keepingCapacity: true)
    forgetProcess()
  }

  /// An operation that was under way left its bytes in the device's cache, or some of them.
  private func land(_ operation: Operation, whole: Bool) {
    guard let write = operation.write, let file = handles[Int(operation.handle)] else { return }
    let count = whole ? write.count : random.below(write.count + 1)
    file.write(write.memory, count: count, offset: Int(write.offset))
  }

  private func forgetProcess() {
    queue.removeAll(keepingCapacity: true)
    handles.removeAll(keepingCapacity: true)
    locks.removeAll(keepingCapacity: true)
    directoryOwner = nil
    isDead = false
    plan(SimulatedFaults())
  }
}

/// The trace's files.
extension SimulatedDisk {
  package func file(_ file: ChainFile) -> SimulatedFile? { self.file(ChainNaming.trace.name(of: file)) }
  package func create(_ file: ChainFile) -> SimulatedFile { create(ChainNaming.trace.name(of: file)) }
  package func remove(_ file: ChainFile) -> Bool { remove(ChainNaming.trace.name(of: file)) }
}
