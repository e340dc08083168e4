// SPDX-License-Identifier: Apache-2.0

import Foundation
import Stage

/// All clients. Each acts in a thread of its own; between two acts they are nobody's, and can be looked at.
final class Fleet: Sendable {
  private let clients: [Client]

  init(count: Int, socket: String, hasLTP: Bool, seed: UInt64) {
    clients = (1...count).map { Client(id: UInt64($0), socket: socket, hasLTP: hasLTP, seed: seed) }
  }

  /// Has each client do something; the group is left when all have.
  func begin(_ act: @escaping @Sendable (Client) -> Void) -> DispatchGroup {
    let group = DispatchGroup()
    for client in clients { Threads.start(in: group) { act(client) } }
    return group
  }

  func all(_ act: @escaping @Sendable (Client) -> Void) { begin(act).wait() }

  /// While nobody acts.
  var tally: ClientTally { clients.reduce(ClientTally()) { $0 + $1.tally } }
}
