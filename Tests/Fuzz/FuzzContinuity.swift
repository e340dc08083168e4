// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's target for tokens, hellos and what answers them. Built by scripts/fuzz with the address sanitizer.
//
// An input is a script of steps against a real core with a trace: hellos, requests, heartbeats and answers that are spoiled on the way,
// outages, voids. For every step: no over-read, aligned or not; what is granted was asked for; and an EXECUTE of a class that requires
// continuity has a token, life, domain and intent that a table of every life knows, from the epoch that is now. At the end
// of each script an honest session is served. FUZZ_CANARY_INCARNATION and FUZZ_CANARY_INTENT each plant a bug that the fuzzer must find.

import CLTP
import Foundation
import LTPLibrary

nonisolated(unsafe) private let world = World()
nonisolated(unsafe) private var traceDirectory = ""

/// Called by libFuzzer with each input. Traps on a finding.
@c(LLVMFuzzerTestOneInput)
public func fuzzContinuity(_ input: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  world.play(ContinuityScript(UnsafeRawBufferPointer(start: input, count: count)))
  return 0
}

/// What the leak detector may pass over: the core lives on, and only memory that it does not search leads there.
@c(__lsan_default_suppressions)
public func keptMemory() -> UnsafePointer<CChar> {
  let names: StaticString = "leak:ltp_core_open\nleak:ltp_system_latch_take_memory\n"
  return UnsafeRawPointer(names.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// What is left of an input: zeros where it has ended.
private struct ContinuityScript {
  private var rest: Slice<UnsafeRawBufferPointer>

  init(_ bytes: UnsafeRawBufferPointer) { rest = bytes[...] }

  var hasEnded: Bool { rest.isEmpty }

  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

  /// Hands over a frame, spoiled as the script says: some bytes changed, cut short, unaligned. It ends where its memory ends.
  mutating func spoiled<Frame: BitwiseCopyable, Result>(
    _ frame: Frame, _ use: (UnsafeRawPointer, _ available: Int, _ isWhole: Bool) -> Result
  ) -> Result {
    var bytes = withUnsafeBytes(of: frame) { Array($0) }
    for _ in 0..<byte() & 3 {
      let place = Int(byte()) % bytes.count
      bytes[place] ^= byte()
    }
    let cut = Int(byte())
    let available = cut == 0 ? bytes.count : min(cut, bytes.count)
    let shift = Int(byte() & 1)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: available + shift, alignment: 16)
    defer { memory.deallocate() }
    UnsafeMutableRawBufferPointer(rebasing: memory[shift...]).copyBytes(from: bytes[..<available])
    return use(UnsafeRawPointer(memory.baseAddress! + shift), available, available == bytes.count)
  }
}

/// A life as the table of lives remembers it.
private struct KnownLife {
  var answer: ltp_hello
  /// Outages that its domain had seen, and voids that its session had.
  var moves: Int
  var voids: Int
}

private final class World {
  private static let domains: UInt8 = 4
  private static let honestDomain: UInt8 = 9
  private static let modify: UInt8 = 43

  private let core: OpaquePointer
  private let lane: OpaquePointer
  private let policy: ltp_policy

  // Of the script that is played now.
  private var played: UInt64 = 0
  private var frames: UInt64 = 0
  private var lives: [KnownLife] = []
  private var byToken: [UInt64: KnownLife] = [:]
  private var moves = [Int](repeating: 0, count: 256)
  private var voids = [Int](repeating: 0, count: 4)
  private var state = LTP_STATE_HEALTHY
  private var hasOutage = false
  private var hasHeartbeat = false
  private var connection = ltp_connection()
  private var client = ltp_session()

  init() {
    let directory = Self.directory()
    var policy = ltp_policy()
    expect(ltp_policy_default(&policy))
    policy.domains.stay_ms = 1
    policy.domains.stay_ms_max = 1
    var options = ltp_core_options()
    expect(ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size))
    // Without threads: a script decides when time goes on.
    options.flags = LTP_OPEN_HOST_DRIVEN
    options.storage = LTP_STORAGE_PWRITEV
    options.segment_bytes = 1 << 20
    options.block_bytes = 16 << 10
    options.retain_segments = 2
    options.clock_interval_ns = 50_000
    options.commit_interval_ns = 1_000_000_000
    self.policy = policy
    (core, lane) = directory.withCString { path in
      withUnsafePointer(to: policy) { policy in
        options.trace_directory = path
        options.policy = policy
        var (core, lane): (OpaquePointer?, OpaquePointer?)
        var error = ltp_error()
        expect(ltp_core_open(&options, &core, &error))
        expect(ltp_lane_open(core, &lane, &error))
        return (core!, lane!)
      }
    }
    publish(LTP_STATE_HEALTHY)
  }

  /// A new directory for the trace, removed at the end unless there was a finding.
  private static func directory() -> String {
    var template = Array("build/fuzz/continuity-XXXXXX".utf8CString)
    guard let path = mkdtemp(&template) else {
      fatalError("no directory for the trace: run in the project's root")
    }
    traceDirectory = String(cString: path)
    atexit {
      try? FileManager.default.removeItem(atPath: traceDirectory)
    }
    return traceDirectory
  }

  // MARK: - A script

  func play(_ script: ContinuityScript) {
    var script = script
    begin()
    while !script.hasEnded {
      switch script.byte() % 11 {
      case 0, 1: greet(&script)
      case 2, 3, 4: ask(&script)
      case 5:
        publish(LTP_STATE_UNSTABLE)
      case 6:
        publish(LTP_STATE_HEALTHY)
      case 7:
        let session = script.byte() & 3
        if ltp_lane_void_session(lane, sessionID(session)) == LTP_OK { voids[Int(session)] += 1 }
      case 8: report(script.byte() % Self.domains, script.byte())
      case 9: beat(&script)
      default: tellClient(&script)
      }
    }
    end()
  }

  /// Sessions of its own, so that no script spends another one's rate; no outage left over.
  private func begin() {
    played += 1
    lives.removeAll(keepingCapacity: true)
    byToken.removeAll(keepingCapacity: true)
    connection = ltp_connection()
    expect(ltp_session_init(&client, sessionID(0), 0))
    if hasHeartbeat {
      for domain in 0..<Self.domains {
        var last = heartbeat(domain)
        last.interval_ms = 0
        expect(ltp_heartbeat_take(core, &last, MemoryLayout<ltp_heartbeat>.size))
      }
    }
    if hasOutage || hasHeartbeat {
      for domain in 0..<Self.domains { expect(ltp_transport_event(core, domain, LTP_TRANSPORT_CONNECTED)) }
      usleep(1200)
    }
    hasOutage = false
    hasHeartbeat = false
    if state != LTP_STATE_HEALTHY { publish(LTP_STATE_HEALTHY) }
    expect(ltp_poll(core))
  }

  /// An honest session is served, whatever the script did.
  private func end() {
    expect(ltp_poll(core))
    publish(LTP_STATE_HEALTHY)
    var asked = hello(0)
    asked.session_id = UInt64.max - played
    asked.domain = Self.honestDomain
    var answer = ltp_hello()
    expect(ltp_hello_answer(lane, &asked, MemoryLayout<ltp_hello>.size, &answer))
    var request = request(of: answer)
    let verdict = ltp_admit(lane, &request, MemoryLayout<ltp_route_request>.size)
    guard verdict.verdict == LTP_VERDICT_EXECUTE else {
      fatalError("an honest session is refused for reason \(verdict.reason)")
    }
    expect(ltp_poll(core))
  }

  // MARK: - Steps

  private func greet(_ script: inout ContinuityScript) {
    let asked = hello(script.byte())
    let binds = script.byte() & 1 == 0
    script.spoiled(asked) { frame, available, isWhole in
      var answer = ltp_hello()
      let status = ltp_hello_answer(lane, frame, available, &answer)
      guard status == LTP_OK || status == LTP_ERROR_HELLO_LATER else { return }
      guard isWhole, ltp_frame_check(frame, available, nil) == LTP_OK else {
        fatalError("a hello is answered that the check refuses")
      }
      check(&answer, "a hello's answer")
      let heard = frame.loadUnaligned(as: ltp_hello.self)
      guard answer.session_id == heard.session_id, answer.client_nonce == heard.client_nonce,
        answer.domain == heard.domain
      else {
        fatalError("the answer is to another hello")
      }
      guard (status == LTP_OK) == (answer.continuity_token != 0),
        (status == LTP_OK) == (answer.incarnation != 0)
      else {
        fatalError("a hello that was put off was granted something, or one that was not, nothing")
      }
      guard status == LTP_OK else { return }
      // A table of lives is only as good as what it can look up: sessions that the script made up have no voids.
      let session = Int(heard.session_id & 3)
      let life = KnownLife(
        answer: answer, moves: moves[Int(answer.domain)],
        voids: heard.session_id == sessionID(UInt8(session)) ? voids[session] : 0)
      lives.append(life)
      byToken[answer.continuity_token] = life
      if binds { expect(ltp_connection_bind(&connection, &answer)) }
    }
  }

  private func ask(_ script: inout ContinuityScript) {
    guard !lives.isEmpty else { return }
    var request = request(of: lives[Int(script.byte()) % lives.count].answer)
    // As if another frame of the peer's had been mixed with this one.
    let other = lives[Int(script.byte()) % lives.count].answer
    switch script.byte() % 8 {
    case 0: request.session_id = other.session_id
    case 1: request.incarnation = other.incarnation
    case 2: request.domain = other.domain
    case 3: request.intent_epoch = other.continuity_epoch
    case 4: request.continuity_token = other.continuity_token
    default: break
    }
    let isBound = script.byte() & 1 == 1
    script.spoiled(request) { frame, available, isWhole in
      let verdict = decide(frame, available, isBound: isBound)
      if verdict.verdict == LTP_VERDICT_EXECUTE {
        guard isWhole, ltp_frame_check(frame, available, nil) == LTP_OK else {
          fatalError("EXECUTE of a frame that the check refuses")
        }
        checkExecuted(frame.loadUnaligned(as: ltp_route_request.self), verdict, isBound: isBound)
      }
      var verdictCopy = verdict
      var response = ltp_route_response()
      if ltp_response_write(frame, available, &verdictCopy, &response) == LTP_OK {
        check(&response, "a response")
      }
    }
  }

  private func decide(_ frame: UnsafeRawPointer, _ available: Int, isBound: Bool) -> ltp_verdict {
    #if FUZZ_CANARY_INCARNATION || FUZZ_CANARY_INTENT
      // What a core would answer that does not look at one of these.
      if !isBound, ltp_frame_check(frame, available, nil) == LTP_OK,
        available == MemoryLayout<ltp_route_request>.size
      {
        var mended = frame.loadUnaligned(as: ltp_route_request.self)
        if let life = byToken[mended.continuity_token] {
          #if FUZZ_CANARY_INCARNATION
            mended.incarnation = life.answer.incarnation
          #else
            mended.intent_epoch = life.answer.continuity_epoch
          #endif
        }
        return ltp_admit(lane, &mended, available)
      }
    #endif
    return isBound ? ltp_admit_from(lane, &connection, frame, available) : ltp_admit(lane, frame, available)
  }

  private func checkExecuted(_ request: ltp_route_request, _ verdict: ltp_verdict, isBound: Bool) {
    if isBound {
      guard
        connection.session_id == request.session_id, connection.incarnation == request.incarnation,
        connection.domain == request.domain
      else { fatalError("EXECUTE over the connection of another life") }
    }
    let attributes = withUnsafeBytes(of: policy.classes) {
      $0.load(
        fromByteOffset: Int(request.action_class) * MemoryLayout<ltp_policy_class>.stride,
        as: ltp_policy_class.self
      ).attributes
    }
    guard attributes & LTP_CLASS_REQUIRES_CONTINUITY != 0 else { return }
    guard state == LTP_STATE_HEALTHY else { fatalError("EXECUTE in an outage") }
    guard let life = byToken[request.continuity_token] else {
      fatalError("EXECUTE with a token that nobody granted")
    }
    let answer = life.answer
    guard answer.session_id == request.session_id else { fatalError("EXECUTE for another session") }
    guard answer.incarnation == request.incarnation else { fatalError("EXECUTE for another incarnation") }
    guard answer.domain == request.domain else { fatalError("EXECUTE in another domain") }
    guard answer.continuity_epoch == request.intent_epoch else {
      fatalError("EXECUTE of an intent of another epoch")
    }
    let session = Int(request.session_id & 3)
    let voided = request.session_id == sessionID(UInt8(session)) ? voids[session] : 0
    guard life.moves == moves[Int(request.domain)], life.voids == voided else {
      fatalError("EXECUTE of a life that has ended")
    }
    let fence = ltp_lane_fence(lane, request.domain, verdict.epoch)
    guard UInt32(truncatingIfNeeded: fence) == request.intent_epoch else {
      fatalError("the fence is another epoch's")
    }
  }

  private func report(_ domain: UInt8, _ event: UInt8) {
    guard ltp_transport_event(core, domain, event) == LTP_OK else { return }
    guard event == LTP_TRANSPORT_DISCONNECTED || event == LTP_TRANSPORT_RESTARTED else { return }
    moves[Int(domain)] += 1
    hasOutage = true
  }

  private func beat(_ script: inout ContinuityScript) {
    let honest = heartbeat(script.byte() % Self.domains)
    script.spoiled(honest) { frame, available, _ in
      // The domain is the host's to say: the honest session's must be there at the end.
      guard available < 64 || frame.load(fromByteOffset: 53, as: UInt8.self) < Self.domains else { return }
      if ltp_heartbeat_take(core, frame, available) == LTP_OK { hasHeartbeat = true }
    }
  }

  /// The client's side: answers of a server that may be hostile.
  private func tellClient(_ script: inout ContinuityScript) {
    let now = 1_000_000_000 + frames * 1_000_000_000
    var asked = ltp_hello()
    if ltp_session_hello(&client, now, &asked) == LTP_OK {
      var answer = ltp_hello()
      guard ltp_hello_answer(lane, &asked, MemoryLayout<ltp_hello>.size, &answer) != LTP_ERROR_BACKPRESSURE
      else { return }
      let before = client
      script.spoiled(answer) { frame, available, _ in
        let status = ltp_session_greeted(&client, now, frame, available)
        if status == LTP_OK {
          guard client.phase == LTP_SESSION_RESYNC, client.continuity_token != 0, client.incarnation != 0
          else {
            fatalError("a client has a life that nobody gave it")
          }
        } else if status != LTP_ERROR_HELLO_LATER, !areEqual(client, before) {
          fatalError("an answer that was refused changed the client")
        }
      }
      _ = ltp_session_resynced(&client)
    } else {
      var request = request(of: ltp_hello())
      guard ltp_session_stamp(&client, &request) == LTP_OK else { return }
      var verdict = ltp_admit(lane, &request, MemoryLayout<ltp_route_request>.size)
      var response = ltp_route_response()
      expect(ltp_response_write(&request, MemoryLayout<ltp_route_request>.size, &verdict, &response))
      script.spoiled(response) { frame, available, _ in
        var next: UInt8 = 0
        let before = client
        let status = ltp_session_told(&client, now, &request, frame, available, &next)
        guard status == LTP_OK || areEqual(client, before) else {
          fatalError("an answer that was refused changed the client")
        }
      }
    }
    guard client.phase < LTP_SESSION_COUNT else { fatalError("a client in no phase") }
  }

  // MARK: - Frames

  /// By two bits of a script, unlike every other script's.
  private func sessionID(_ low: UInt8) -> UInt64 { played << 2 | UInt64(low & 3) }

  private func started<Frame: BitwiseCopyable>(_ empty: Frame, type: UInt8) -> Frame {
    var frame = empty
    expect(ltp_frame_init(&frame, MemoryLayout<Frame>.size, type, 0))
    return frame
  }

  /// The session, domain and nonce are bits of this byte.
  private func hello(_ bits: UInt8) -> ltp_hello {
    var hello = started(ltp_hello(), type: LTP_FRAME_HELLO)
    frames += 1
    hello.frame_id = frames
    hello.session_id = sessionID(bits)
    hello.domain = bits >> 2 & 3
    hello.client_nonce = UInt64(bits >> 4) + 1
    hello.version_min = UInt8(LTP_PROTOCOL_VERSION)
    hello.version_max = UInt8(LTP_PROTOCOL_VERSION)
    return hello
  }

  private func heartbeat(_ domain: UInt8) -> ltp_heartbeat {
    var heartbeat = started(ltp_heartbeat(), type: LTP_FRAME_HEARTBEAT)
    frames += 1
    heartbeat.frame_id = frames
    heartbeat.domain = domain
    heartbeat.interval_ms = 1
    return heartbeat
  }

  private func request(of life: ltp_hello) -> ltp_route_request {
    var request = started(ltp_route_request(), type: LTP_FRAME_ROUTE_REQUEST)
    frames += 1
    request.frame_id = frames
    request.session_id = life.session_id
    request.continuity_token = life.continuity_token
    request.incarnation = life.incarnation
    request.intent_epoch = life.continuity_epoch
    request.domain = life.domain
    request.action_class = Self.modify
    request.priority = 255
    return request
  }

  private func publish(_ to: UInt8) {
    var change = ltp_transition()
    change.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
    change.to = to
    change.reason = LTP_SIGNAL_OPERATOR
    guard ltp_orientation_publish(core, &change, nil) == LTP_OK else { return }
    if to == LTP_STATE_UNSTABLE, state != to { for domain in 0..<256 { moves[domain] += 1 } }
    state = to
  }

  private func check<Frame: BitwiseCopyable>(_ frame: inout Frame, _ what: String) {
    guard ltp_frame_check(&frame, MemoryLayout<Frame>.size, nil) == LTP_OK else {
      fatalError("\(what) is no good frame")
    }
  }
}

/// For calls that cannot fail here.
private func expect(_ status: Int32) {
  guard status == LTP_OK else { fatalError(String(cString: ltp_status_text(status))) }
}

private func areEqual(_ one: ltp_session, _ other: ltp_session) -> Bool {
  withUnsafeBytes(of: one) { one in withUnsafeBytes(of: other) { one.elementsEqual($0) } }
}
