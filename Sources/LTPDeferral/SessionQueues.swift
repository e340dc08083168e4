// SPDX-License-Identifier: Apache-2.0
// The sessions that intents belong to: each has its pending ones in a queue, and those that have any have turns, in a ring. They are found
// by linear hashing (Litwin, 1980): buckets come one at a time, as sessions do, so few sessions take little memory, and no call ever makes
// the index anew.

import LTPRecords

/// A session with pending intents, or with ones that are remembered.
struct SessionQueue {
  var session: UInt64 = 0
  /// The continuity epoch of its domain in which it shook hands last, as far as this process knows.
  var confirmed: UInt64 = 0
  var pendingBytes: UInt64 = 0
  /// Its first and its last pending intent: by slot, plus one.
  var first: UInt32 = 0
  var last: UInt32 = 0
  var pendingCount: UInt32 = 0
  /// Intents that name it, those that have ended among them.
  var useCount: UInt32 = 0
  /// Its neighbours in the ring: by place, plus one; 0: it is not in it. `ringNext` of a free place: the next free one.
  var ringNext: UInt32 = 0
  var ringPrevious: UInt32 = 0
  /// The next one in its bucket: by place, plus one.
  var nextInBucket: UInt32 = 0
}

/// Memory is the owner's.
struct SessionQueues {
  private let queues: UnsafeMutablePointer<SessionQueue>
  /// The first one of each: by place, plus one.
  private let buckets: UnsafeMutablePointer<UInt32>
  private var bucketCount = 1
  private let secret: SipKey
  private var free: UInt32 = 0
  private(set) var fresh = 0
  /// Whose turn it is: by place, plus one; 0: nobody has anything pending.
  private(set) var ring: UInt32 = 0
  /// Sessions in the ring.
  private(set) var pendingCount = 0

  /// `memory`: zeroed, `bytes(capacity:)` of it.
  init(_ memory: UnsafeMutableRawPointer, capacity: Int, secret: SipKey) {
    queues = memory.bindMemory(to: SessionQueue.self, capacity: capacity)
    buckets = (memory + Self.queueBytes(capacity)).bindMemory(to: UInt32.self, capacity: capacity)
    self.secret = secret
  }

  private static func queueBytes(_ capacity: Int) -> Int {
    (capacity * MemoryLayout<SessionQueue>.stride + 63) / 64 * 64
  }
  static func bytes(capacity: Int) -> Int { queueBytes(capacity) + (capacity * 4 + 63) / 64 * 64 }

  /// Memory that was ever used.
  var memoryBytes: Int { fresh * MemoryLayout<SessionQueue>.stride + bucketCount * 4 }

  subscript(place: Int) -> SessionQueue {
    get { queues[place] }
    nonmutating _modify { yield &queues[place] }
  }

  // MARK: Finding

  private func bucket(_ session: UInt64) -> Int {
    let hash = Int(truncatingIfNeeded: secret.hash([session, 1]) >> 1)
    // As many buckets as the next power of two would be too many: those that are not there yet are still in their lower halves.
    let half = 1 << (Int.bitWidth - 1 - bucketCount.leadingZeroBitCount)
    let bucket = hash & (2 * half - 1)
    return bucket < bucketCount ? bucket : hash & (half - 1)
  }

  func place(of session: UInt64) -> Int? { find(session, bucket(session)) }

  private func find(_ session: UInt64, _ bucket: Int) -> Int? {
    var next = buckets[bucket]
    while next != 0, queues[Int(next) - 1].session != session { next = queues[Int(next) - 1].nextInBucket }
    return next == 0 ? nil : Int(next) - 1
  }

  private func put(_ place: Int, _ bucket: Int) {
    queues[place].nextInBucket = buckets[bucket]
    buckets[bucket] = UInt32(place) + 1
  }

  /// One bucket more, which gets its share of another one.
  private mutating func split() {
    let half = 1 << (Int.bitWidth - 1 - bucketCount.leadingZeroBitCount)
    let parent = bucketCount - half
    var next = buckets[parent]
    buckets[parent] = 0
    bucketCount += 1
    while next != 0 {
      let place = Int(next) - 1
      next = queues[place].nextInBucket
      put(place, bucket(queues[place].session))
    }
  }

  private func takeOut(_ place: Int) {
    let (own, bucket) = (UInt32(place) + 1, bucket(queues[place].session))
    guard buckets[bucket] != own else {
      buckets[bucket] = queues[place].nextInBucket
      return
    }
    var before = Int(buckets[bucket]) - 1
    while queues[before].nextInBucket != own { before = Int(queues[before].nextInBucket) - 1 }
    queues[before].nextInBucket = queues[place].nextInBucket
  }

  // MARK: Entering and leaving

  /// The session's place, which names it until as many `leave`.
  mutating func enter(_ session: UInt64) -> Int {
    if let place = place(of: session) {
      queues[place].useCount += 1
      return place
    }
    let place = free != 0 ? Int(free) - 1 : fresh
    if free != 0 {
      free = queues[place].ringNext
    } else {
      fresh += 1
      if fresh > bucketCount { split() }
    }
    queues[place] = SessionQueue()
    queues[place].session = session
    queues[place].useCount = 1
    put(place, bucket(session))
    return place
  }

  mutating func leave(_ place: Int) {
    queues[place].useCount -= 1
    guard queues[place].useCount == 0 else { return }
    takeOut(place)
    queues[place] = SessionQueue()
    queues[place].ringNext = free
    free = UInt32(place) + 1
  }

  // MARK: Turns

  /// Last in the ring: before the one whose turn it is.
  mutating func enterRing(_ place: Int) {
    pendingCount += 1
    let own = UInt32(place) + 1
    guard ring != 0 else {
      ring = own
      (queues[place].ringNext, queues[place].ringPrevious) = (own, own)
      return
    }
    let first = Int(ring) - 1
    let last = Int(queues[first].ringPrevious) - 1
    (queues[place].ringNext, queues[place].ringPrevious) = (ring, UInt32(last) + 1)
    queues[last].ringNext = own
    queues[first].ringPrevious = own
  }

  mutating func leaveRing(_ place: Int) {
    pendingCount -= 1
    let own = UInt32(place) + 1
    let (next, previous) = (queues[place].ringNext, queues[place].ringPrevious)
    (queues[place].ringNext, queues[place].ringPrevious) = (0, 0)
    guard next != own else {
      ring = 0
      return
    }
    queues[Int(next) - 1].ringPrevious = previous
    queues[Int(previous) - 1].ringNext = next
    if ring == own { ring = next }
  }

  /// The session whose turn it is, and the turn goes to the next one.
  mutating func takeTurn() -> Int {
    let place = Int(ring) - 1
    ring = queues[place].ringNext
    return place
  }

  /// It is this one's turn, still.
  mutating func turnBack(_ place: Int) { if queues[place].ringNext != 0 { ring = UInt32(place) + 1 } }
}
