// SPDX-License-Identifier: Apache-2.0
// Names of files go both ways.

import CLTP
import LTPTestSupport
import Testing

@testable import LTPStorage

@Suite("Names of the trace's files", .guarded)
struct FileNameTests {
  @Test("file names go both ways, and nothing else is taken for one")
  func names() {
    let naming = ChainNaming.trace
    func name(_ file: ChainFile) -> String { naming.name(of: file).withCString { String(cString: $0) } }
    func file(_ name: String) -> ChainFile? {
      name.withCString { FileName($0) }.flatMap { naming.file(named: $0) }
    }
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
      "torn-", "torn-0000000000000001-0000000000001000", "torn-0000000000000001-000000000000100.bin",
      "torn-0000000000000001.0000000000001000.bin", String(repeating: "0", count: 400),
    ]
    for other in others { #expect(file(other) == nil, "\(other)") }
    #expect(file(name(.torn(segment: 1, offset: 4096))) == .torn(segment: 1, offset: 4096))
  }

  @Test("a chain takes none of another chain's files for its own")
  func prefixes() {
    let (trace, notes) = (ChainNaming.trace, ChainNaming(prefix: "notes-"))
    let files: [ChainFile] = [
      .segment(0), .prepared(7), .watermark, .preparedWatermark, .torn(segment: 1, offset: 4096),
    ]
    for file in files {
      let (one, other) = (trace.name(of: file), notes.name(of: file))
      #expect(one != other && trace.file(named: one) == file && notes.file(named: other) == file)
      #expect(trace.file(named: other) == nil && notes.file(named: one) == nil)
    }
  }
}
