// SPDX-License-Identifier: Apache-2.0
// How the concurrency limit moves, a window at a time. Sources: Netflix concurrency-limits 0.5 (AIMDLimit, VegasLimit,
// Gradient2Limit, WindowedLimit). Pure: what was measured in, the limit out.

public import CLTP

/// What one window's releases say.
public struct ConcurrencySample {
  /// The mean, in nanoseconds; nil: nothing was released with success.
  public var latency: UInt64?
  public var hasDropped: Bool
  /// The most permits that were out at once.
  public var inflight: Int

  public init(latency: UInt64?, hasDropped: Bool, inflight: Int) {
    self.latency = latency
    self.hasDropped = hasDropped
    self.inflight = inflight
  }
}

public struct ConcurrencyLimit {
  private let algorithm: UInt8
  private let least: Double
  private let most: Double
  private let timeout: UInt64
  private var limit: Double
  /// Vegas: the least latency seen since the last probe.
  private var latencyWithoutLoad: UInt64 = 0
  private var samplesSinceProbe = 0
  /// Gradient2: the average over a long time.
  private var longLatency: Double = 0
  private var longSamples: Double = 0

  public init(_ limits: ltp_policy_limits) {
    algorithm = limits.concurrency
    least = Double(max(1, limits.concurrency_min))
    most = Double(limits.concurrency_max)
    timeout = UInt64(limits.concurrency_timeout_us) * 1000
    limit = Double(limits.concurrency_initial)
  }

  /// Permits that may be out at once.
  public var value: Int { Int(limit) }

  public mutating func update(_ sample: ConcurrencySample) {
    guard sample.latency != nil || sample.hasDropped else { return }
    switch algorithm {
    case LTP_CONCURRENCY_AIMD: limit = aimd(sample)
    case LTP_CONCURRENCY_VEGAS: limit = vegas(sample)
    case LTP_CONCURRENCY_GRADIENT2: limit = gradient2(sample)
    default: return
    }
    limit = min(max(limit, least), most)
  }

  private func aimd(_ sample: ConcurrencySample) -> Double {
    let isSlow = timeout > 0 && (sample.latency ?? 0) > timeout
    if sample.hasDropped || isSlow { return limit * 0.9 }
    return Double(sample.inflight) * 2 >= limit ? limit + 1 : limit
  }

  private mutating func vegas(_ sample: ConcurrencySample) -> Double {
    let step = log10()
    guard let latency = sample.latency, latency > 0 else { return sample.hasDropped ? limit - step : limit }
    samplesSinceProbe += 1
    // From time to time what was the least is measured anew: the system may have become slower for good.
    if latencyWithoutLoad == 0 || latency < latencyWithoutLoad || samplesSinceProbe >= Self.probeInterval {
      latencyWithoutLoad = latency
      samplesSinceProbe = 0
      return limit
    }
    if sample.hasDropped { return limit - step }
    if Double(sample.inflight) * 2 < limit { return limit }
    let waiting = limit * (1 - Double(latencyWithoutLoad) / Double(latency))
    // Rounded up, without the C library's mathematics.
    let queue = Double(Int(waiting)) < waiting ? Double(Int(waiting) + 1) : waiting
    if queue <= step { return limit + 6 * step }
    if queue < 3 * step { return limit + step }
    return queue > 6 * step ? limit - step : limit
  }

  /// Windows between two probes.
  private static var probeInterval: Int { 300 }

  /// Of the limit, at least 1, whole, as in VegasLimit.
  private func log10() -> Double { limit >= 10_000 ? 4 : limit >= 1000 ? 3 : limit >= 100 ? 2 : 1 }

  private mutating func gradient2(_ sample: ConcurrencySample) -> Double {
    guard let latency = sample.latency, latency > 0 else { return sample.hasDropped ? limit * 0.9 : limit }
    let short = Double(latency)
    longSamples = min(longSamples + 1, Self.longWindow)
    // While it warms up, the plain average.
    longLatency += (short - longLatency) / longSamples
    // The load has ended: come back faster than the average does.
    if longLatency / short > 2 { longLatency *= 0.95 }
    if Double(sample.inflight) < limit / 2 { return limit }
    let gradient = min(max(1.5 * longLatency / short, 0.5), 1)
    return 0.8 * limit + 0.2 * (limit * gradient + 4)
  }

  /// Samples that the long average goes over.
  private static var longWindow: Double { 600 }
}
