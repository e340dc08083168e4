// SPDX-License-Identifier: Apache-2.0

import Foundation
import LTP
import Stage

/// The one thread that the order book belongs to. What has come in meanwhile is one transaction.
final class BookWriter: @unchecked Sendable {
  enum Work {
    case list
    case create(OrderAction)
    case modify(OrderAction)
    case raiseFence(UInt64)
  }

  struct Job {
    var work: Work
    var frame: UInt64 = 0
    var session: UInt64 = 0
    var fence: UInt64 = 0
    /// Must be on disk first; nil: nothing must.
    var mark: DurabilityMark?
    /// Called on the writer's thread once it is durable; nil: the database has refused it.
    var answer: @Sendable ([OrderFacts]?) -> Void = { _ in }
  }

  private let book: OrderBook
  private let failed: @Sendable (any Error) -> Void
  private let condition = NSCondition()
  private var waiting: [Job] = []
  private var isEnding = false
  private var hasEnded = false

  init(_ book: OrderBook, failed: @escaping @Sendable (any Error) -> Void) {
    self.book = book
    self.failed = failed
    Thread.detachNewThread { self.run() }
  }

  func add(_ job: Job) {
    condition.lock()
    waiting.append(job)
    condition.signal()
    condition.unlock()
  }

  /// Returns once all is done.
  func end() {
    condition.lock()
    isEnding = true
    condition.signal()
    while !hasEnded { condition.wait() }
    condition.unlock()
  }

  private func run() {
    while true {
      condition.lock()
      while waiting.isEmpty, !isEnding { condition.wait() }
      let jobs = waiting
      waiting = []
      if jobs.isEmpty {
        hasEnded = true
        condition.broadcast()
        condition.unlock()
        return
      }
      condition.unlock()
      do { try work(jobs) } catch { failed(error) }
    }
  }

  private func work(_ jobs: [Job]) throws {
    // One mark is later than the other: the last one stands for all.
    if let mark = jobs.last(where: { $0.mark != nil })?.mark { try mark.waitDurable() }
    var answers: [[OrderFacts]?] = []
    try book.transaction { () throws(ScenarioFailure) in
      for job in jobs { answers.append(try apply(job)) }
    }
    for (job, answer) in zip(jobs, answers) { job.answer(answer) }
  }

  private func apply(_ job: Job) throws(ScenarioFailure) -> [OrderFacts]? {
    let applied: Applied
    let order: UInt64
    switch job.work {
    case .list: return try book.facts(session: job.session)
    case .raiseFence(let number):
      try book.raiseFence(to: number)
      return []
    case .create(let action):
      order = action.order
      applied = try book.create(action, frame: job.frame, session: job.session, fence: job.fence)
    case .modify(let action):
      order = action.order
      applied = try book.modify(action, frame: job.frame, session: job.session, fence: job.fence)
    }
    return applied == .done ? try book.facts(order: order) : nil
  }
}
