// SPDX-License-Identifier: Apache-2.0
//
// The first inputs of the deferral fuzzer: blocks of a log in which intents are kept, begun, given back, moved and ended, as FuzzDeferral takes
// them.

import CLTP
import Glibc

@main
enum SeedDeferral {
  static func main() {
    guard CommandLine.arguments.count == 2 else {
      print("usage: seeds DIRECTORY")
      exit(2)
    }
    let directory = CommandLine.arguments[1]
    let begin = block(2, mark(LTP_DEFERRAL_SEGMENT))
    let kept = block(1, intent(1, 0, session: 7), intent(2, 1, session: 7), intent(3, 2, session: 8))
    let steps = block(
      1, step(1, 0, LTP_STEP_BEGUN), step(1, 0, LTP_STEP_COMMITTED), step(3, 2, LTP_STEP_BEGUN),
      step(3, 2, LTP_STEP_RELEASED), step(2, 1, LTP_STEP_ENDED, LTP_END_EXPIRED))
    let moved = block(
      1, intent(3, 2, session: 8, flags: LTP_INTENT_MOVED | LTP_INTENT_MAYBE), ended(1, 0), ended(2, 1))
    write(begin + kept, "\(directory)/kept")
    write(begin + kept + steps, "\(directory)/steps")
    write(begin + kept + steps + moved + block(0, mark(LTP_DEFERRAL_SEALED)), "\(directory)/moved")
    write(begin + moved + block(0, mark(LTP_DEFERRAL_OPENED)) + kept, "\(directory)/late")
  }

  private static func block(_ first: UInt8, _ records: [UInt8]...) -> [UInt8] {
    let body = records.flatMap { $0 }
    return [first, UInt8(body.count / 32 - 1)] + body
  }

  private static func bytes<Record>(_ record: Record) -> [UInt8] { withUnsafeBytes(of: record) { Array($0) } }

  private static func mark(_ kind: UInt8) -> [UInt8] {
    var mark = ltp_deferral_mark()
    mark.kind = kind
    mark.version = UInt8(LTP_DEFERRAL_VERSION)
    mark.next_number = 1
    return bytes(mark)
  }

  private static func ticket(_ number: UInt64, _ slot: UInt64) -> UInt64 {
    number << UInt64(LTP_TICKET_SLOT_BITS) | slot
  }

  private static func intent(_ number: UInt64, _ slot: UInt64, session: UInt64, flags: UInt8 = 0) -> [UInt8] {
    var intent = ltp_deferral_intent()
    intent.kind = LTP_DEFERRAL_INTENT
    intent.condition = LTP_COMMITMENT_WHEN_STABLE
    intent.attempts_max = 3
    intent.payload_bytes = 20
    intent.ticket = ticket(number, slot)
    intent.expires_unix_ns = 1 << 60
    intent.flags = flags
    intent.request.frame_id = number
    intent.request.session_id = session
    return bytes(intent) + [UInt8](repeating: 5, count: 32)
  }

  private static func step(_ number: UInt64, _ slot: UInt64, _ step: UInt8, _ end: UInt8 = 0) -> [UInt8] {
    var record = ltp_deferral_step()
    record.kind = LTP_DEFERRAL_STEP
    record.step = step
    record.end = end
    record.attempt = 1
    record.ticket = ticket(number, slot)
    return bytes(record)
  }

  private static func ended(_ number: UInt64, _ slot: UInt64) -> [UInt8] {
    var record = ltp_deferral_ended()
    record.kind = LTP_DEFERRAL_ENDED
    record.payload_bytes = 20
    record.ticket = ticket(number, slot)
    record.key_low = number
    record.key_high = 7
    record.derived = 1
    return bytes(record)
  }

  private static func write(_ bytes: [UInt8], _ path: String) {
    guard let file = fopen(path, "w") else {
      perror(path)
      exit(1)
    }
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
  }
}
