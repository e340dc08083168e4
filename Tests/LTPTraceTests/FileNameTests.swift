// SPDX-License-Identifier: Apache-2.0
// Names of files go both ways.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPTrace

@Suite("Names of the trace's files", .guarded)
struct FileNameTests {
  @Test("file names go both ways, and nothing else is taken for one")
  func names() {
    func name(_ file: TraceFile) -> String { file.withName { String(cString: $0) } }
    func file(_ name: String) -> TraceFile? { name.withCString { TraceFile(name: $0) } }
    #expect(name(.segment(0)) == "0000000000000000.ltp")
    #expect(name(.prepared(0xABCD)) == "000000000000abcd.tmp")
    #expect(name(.watermark) == LTP_WATERMARK_NAME)
    #expect(name(.torn(segment: 1, offset: 4096)) == "torn-0000000000000001-0000000000001000.bin")
    for index in [0, 1, 0x1234_5678_9ABC_DEF0, UInt64.max] {
      #expect(file(name(.segment(index))) == .segment(index))
      #expect(file(name(.prepared(index))) == .prepared(index))
    }
    #expect(file(name(.watermark)) == .watermark)
    #expect(file(name(.preparedWatermark)) == .preparedWatermark)
    let others = [
      "", ".", "..", "durabl", "durable.", "durable.tmp2", "0.ltp", "000000000000000g.ltp",
      "000000000000000A.ltp",
      "0000000000000000.ltpx", "0000000000000000", "00000000000000000.ltp", "0000000000000000.LTP",
      name(.torn(segment: 1, offset: 4096)),
    ]
    for other in others { #expect(file(other) == nil, "\(other)") }
  }
}
