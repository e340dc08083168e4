// SPDX-License-Identifier: Apache-2.0
// One stretch of load, and what the clients saw of it.

/// What is offered, for how long.
struct Phase {
  var name: String
  /// Times the capacity.
  var load: Double
  /// New intents a second.
  var rate: Double
  var seconds: Double
  /// Left out of the figures at the beginning: what the phase before left behind, and the first reaction.
  var settleSeconds: Double
  /// When the database is locked, and for how long; nil: it is not.
  var hiccup: (at: Double, seconds: Double)?
}

/// A tenth of a second.
struct Bin: Codable {
  var offered = 0
  var requests = 0
  /// Done within the client's timeout.
  var good = 0
  /// Done, but the client had given this attempt up.
  var late = 0
  var denied = 0
  var timeouts = 0
  /// Attempts after an intent's first.
  var retries = 0
  var gaveUp = 0
  var rehandshakes = 0
  /// Of each answer for which the work was done, late ones too, in milliseconds from the attempt's sending.
  var latencies: [Float] = []

  static func += (a: inout Bin, b: Bin) {
    a.offered += b.offered
    a.requests += b.requests
    a.good += b.good
    a.late += b.late
    a.denied += b.denied
    a.timeouts += b.timeouts
    a.retries += b.retries
    a.gaveUp += b.gaveUp
    a.rehandshakes += b.rehandshakes
    a.latencies += b.latencies
  }

  /// Milliseconds, or nil when nothing was done.
  func latency(percentile: Double) -> Double? {
    guard !latencies.isEmpty else { return nil }
    let sorted = latencies.sorted()
    return Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * percentile / 100))])
  }
}

struct PhaseResult {
  static let binSeconds = 0.1

  var phase: Phase
  var bins: [Bin]
  /// When it began.
  var beganMonotonic: UInt64
  var beganUnix: UInt64
  /// When the database was locked and free again, in seconds from the beginning.
  var locked: (from: Double, to: Double)?
  /// What the server used and did during the phase.
  var server: ServerStats
  /// Orders a second that the service can do, as measured before and after.
  var capacity = 0.0
  /// Processor time that an order took then, in nanoseconds.
  var capacityOrderTime = 0.0
  /// The runs of the same load before; this is the last one.
  var earlier: [PhaseResult] = []
  /// Processors that were busy with something else, the kernel's own threads among it.
  var othersCores = 0.0

  /// Sum over the bins that begin in these seconds.
  func sum(from: Double, to: Double) -> Bin {
    var sum = Bin()
    for (index, bin) in bins.enumerated() {
      let time = (Double(index) + 0.5) * Self.binSeconds
      if time >= from, time < to { sum += bin }
    }
    return sum
  }

  /// The measured part, of the runs before as well.
  var measured: Bin {
    earlier.reduce(into: sum(from: phase.settleSeconds, to: phase.seconds)) { $0 += $1.measured }
  }

  var measuredSeconds: Double {
    earlier.reduce(phase.seconds - phase.settleSeconds) { $0 + $1.measuredSeconds }
  }
  var goodput: Double { Double(measured.good) / measuredSeconds }

  /// Goodput over the capacity measured just before and just after, of each run of this load; the median of them. A shared
  /// machine's speed drifts over seconds, for either.
  var shareOfCapacity: Double {
    median((earlier + [self]).map { $0.ownGoodput / $0.capacity })
  }

  /// The same at the speed that the machine had during the run: an order is the same work each time, so the processor time
  /// that its worker takes for one, then and in the capacity's closed loops, says how fast the machine was.
  var shareAtSpeed: Double {
    median((earlier + [self]).map { $0.ownGoodput / $0.capacity * $0.orderTime / $0.capacityOrderTime })
  }

  private var orderTime: Double {
    server.done > 0 ? Double(server.workerProcessorTime) / Double(server.done) : capacityOrderTime
  }

  /// Of this run alone.
  private var ownGoodput: Double {
    Double(sum(from: phase.settleSeconds, to: phase.seconds).good) / (phase.seconds - phase.settleSeconds)
  }

  /// Over all runs of this load.
  var meanCapacity: Double {
    (earlier + [self]).reduce(0) { $0 + $1.capacity } / Double(earlier.count + 1)
  }
  /// Goodput that counts as full: 0.90 of the capacity, or of what is offered if that is less.
  var fullGoodput: Double { 0.9 * min(capacity, phase.rate) }

  func goodput(from: Double, to: Double) -> Double { Double(sum(from: from, to: to).good) / (to - from) }
}

func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// Answers by what they said: what the trace must agree with.
struct Tally: Codable {
  /// "STATE VERDICT REASON" -> how many
  var answers: [String: UInt64] = [:]
  var hellos: UInt64 = 0
  var unanswered: UInt64 = 0

  var total: UInt64 { answers.values.reduce(0, +) }
}
