// SPDX-License-Identifier: Apache-2.0
// Requests as a right client makes them.

package import CLTP

/// A valid request of class "read" unless told otherwise. `life`: a hello's answer, in whose epoch the intent is made.
package func request(
  _ actionClass: UInt8 = 8, frameID: UInt64 = 1, sessionID: UInt64 = 2, priority: UInt8 = 200,
  life: ltp_hello? = nil, deadline: UInt64? = nil
) -> ltp_route_request {
  var request = ltp_route_request()
  request.header.magic = LTP_FRAME_MAGIC
  request.header.version = UInt8(LTP_PROTOCOL_VERSION)
  request.header.type = LTP_FRAME_ROUTE_REQUEST
  request.header.size_bytes = 64
  request.header.flags = deadline != nil ? LTP_REQUEST_HAS_DEADLINE : 0
  request.frame_id = frameID
  request.session_id = sessionID
  if let life {
    request.continuity_token = life.continuity_token
    request.intent_epoch = life.continuity_epoch
    request.incarnation = life.incarnation
    request.domain = life.domain
  }
  request.deadline_ns = deadline ?? 0
  request.action_class = actionClass
  request.priority = priority
  return request
}

/// The request, with room behind it for a goal.
package func long(_ request: ltp_route_request) -> ltp_long_request {
  var long = ltp_long_request()
  long.request = request
  return long
}

/// The same request, as a replay of the one with this id.
package func replay(of original: UInt64, _ request: ltp_route_request) -> ltp_long_request {
  var replay = long(request)
  replay.request.header.flags |= LTP_REQUEST_REPLAY
  replay.request.header.size_bytes = UInt16(MemoryLayout<ltp_long_request>.size)
  replay.goal.original_frame_id = original
  return replay
}
