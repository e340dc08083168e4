// SPDX-License-Identifier: Apache-2.0
// One device's queue, shared by the chains that write through it. Whoever takes completions from the device takes
// everybody's; each goes to the mailbox of whoever started the operation.
//
// Invariant: a mailbox never overflows, because no owner has more operations under way than a mailbox has places.

import CLTP
import CLTPSystem

/// Who started an operation, for what, and which of its operations it is.
public struct OperationToken: Equatable, Sendable {
  public enum Purpose: UInt8, Sendable { case block, zeros, segmentSync }

  private static let ownerShift: UInt64 = 56
  private static let purposeShift: UInt64 = 48
  private static let numberMask: UInt64 = 1 << purposeShift - 1

  public let rawValue: UInt64

  /// Of `number`, the lower 48 bits are kept.
  public init(owner: UInt8, _ purpose: Purpose, number: UInt64 = 0) {
    rawValue =
      UInt64(owner) << Self.ownerShift | UInt64(purpose.rawValue) << Self.purposeShift | number
      & Self.numberMask
  }

  public init(rawValue: UInt64) { self.rawValue = rawValue }

  public var owner: UInt8 { UInt8(truncatingIfNeeded: rawValue >> Self.ownerShift) }
  /// Nil: no operation has such a token.
  public var purpose: Purpose? { Purpose(rawValue: UInt8(truncatingIfNeeded: rawValue >> Self.purposeShift)) }
  public var number: UInt64 { rawValue & Self.numberMask }

  /// Whether this is the operation of `number`, whose upper bits a token does not hold.
  public func isNumber(_ number: UInt64) -> Bool { self.number == number & Self.numberMask }
}

/// Completions that one owner has not looked at yet, in the order in which they came.
private struct Mailbox {
  var completions = InlineArray<72, StorageCompletion>(repeating: StorageCompletion(token: 0, result: 0))
  var first = 0
  var count = 0

  mutating func append(_ completion: StorageCompletion) -> Bool {
    guard count < completions.count else { return false }
    completions[(first + count) % completions.count] = completion
    count += 1
    return true
  }

  mutating func removeFirst() -> StorageCompletion? {
    guard count > 0 else { return nil }
    let completion = completions[first]
    first = (first + 1) % completions.count
    count -= 1
    return completion
  }
}

public struct StorageQueue<Device: StorageDevice & ~Copyable>: ~Copyable {
  public var device: Device
  private var mailboxes = InlineArray<4, Mailbox>(repeating: Mailbox())
  /// The device can take nothing any more, for any owner.
  public private(set) var failure: StorageFault?

  public init(_ device: consuming Device) { self.device = device }

  /// Owners are numbered below this.
  public static var ownersMax: Int { 4 }
  /// Operations that one owner may have under way.
  public static var operationsMax: Int { 72 }
  private static var batchMax: Int { 32 }

  /// Hands to the device what was started, and takes what has completed. Waits at most this long for something to complete,
  /// and not at all while completions lie in a mailbox.
  public mutating func reap(waitNanoseconds: UInt64) {
    var wait = waitNanoseconds
    for owner in 0..<Self.ownersMax where mailboxes[owner].count > 0 { wait = 0 }
    while failure == nil {
      let taken: Int
      do throws(StorageFault) { taken = try reapBatch(waitNanoseconds: wait) } catch {
        failure = error
        return
      }
      if taken < Self.batchMax { return }
      wait = 0
    }
  }

  private mutating func reapBatch(waitNanoseconds: UInt64) throws(StorageFault) -> Int {
    var batch = InlineArray<32, StorageCompletion>(repeating: StorageCompletion(token: 0, result: 0))
    var taken = 0
    var fault: StorageFault?
    withUnsafeMutableBytes(of: &batch) { bytes in
      let memory = bytes.baseAddress!.assumingMemoryBound(to: StorageCompletion.self)
      do throws(StorageFault) {
        taken = try device.complete(into: memory, capacity: Self.batchMax, waitNanoseconds: waitNanoseconds)
      } catch {
        fault = error
      }
    }
    if let fault { throw fault }
    for index in 0..<taken { try deliver(batch[index]) }
    return taken
  }

  private mutating func deliver(_ completion: StorageCompletion) throws(StorageFault) {
    let owner = Int(OperationToken(rawValue: completion.token).owner)
    guard owner < Self.ownersMax else { return }
    guard mailboxes[owner].append(completion) else {
      assertionFailure("an owner has more operations under way than its mailbox has places")
      // A completion that is lost would be waited for without end.
      throw StorageFault(.write, code: LTP_SYSTEM_EIO)
    }
  }

  /// The owner's next completion; nil: there is none now. Every owner goes on asking, also after it has failed, because
  /// nobody waits for the device while a completion lies in a mailbox.
  public mutating func next(for owner: UInt8) -> StorageCompletion? { mailboxes[Int(owner)].removeFirst() }
}
