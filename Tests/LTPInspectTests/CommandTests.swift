// SPDX-License-Identifier: Apache-2.0
// The tool itself: exit statuses, what goes where, and that nothing in the directory changes.

import CLTP
import Foundation
import LTPRecords
import LTPTestSupport
import Testing

@testable import LTPInspect

@Suite("ltp inspect", .guarded)
struct CommandTests {
  private func run(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(["inspect"] + arguments) }

  @Test("a good trace: status 0 for every subcommand")
  func good() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    let verify = try run("verify", directory.path)
    #expect(verify.status == 0)
    #expect(verify.output.contains("good: the chain holds"))
    #expect(verify.errors == "")
    #expect(try run("summary", directory.path).output.contains("queue_depth 5000 (threshold 1000)"))
    #expect(try run("redecide", directory.path).output.contains("different 0"))
    let show = try run("show", directory.path, "--verdict", "deny", "--limit", "3")
    #expect(show.status == 0)
    #expect(show.output.contains(" DENY "))
    #expect(!show.output.contains(" EXECUTE "))
  }

  @Test("fault 17: status 1, with segment, offset and sequence")
  func violation() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.rich()
    trace.write(to: directory)
    let place = trace.blockPlaces.first { $0.segment == 1 && $0.lane == 3 }!
    directory.patch(TraceBuilder.name(1), at: place.offset + 260) { $0 ^ 0x10 }
    let verify = try run("verify", directory.path)
    #expect(verify.status == 1)
    let field = place.offset + LTP_AT_block_header_body_hash
    #expect(verify.output.contains("segment 0000000000000001.ltp, offset \(field), block "))
    #expect(verify.output.contains("the body's hash differs"))
    #expect(try run("redecide", directory.path).status == 1)
    #expect(try run("summary", directory.path).status == 1)
    let show = try run("show", directory.path)
    #expect(show.status == 1)
    #expect(show.errors.contains("the body's hash differs"))
  }

  @Test("a segment in front that was emptied, and a watermark alone: status 1 for every subcommand")
  func emptied() throws {
    let emptied = TemporaryDirectory()
    GoodTraces.rich().write(to: emptied)
    emptied.write([], to: TraceBuilder.name(0))
    let alone = TemporaryDirectory()
    alone.write(Records.watermark(LogID(low: 1, high: 2), 7), to: LTP_WATERMARK_NAME)
    for subcommand in ["verify", "summary", "show", "redecide"] {
      for (directory, words) in [(emptied, "the segment is empty"), (alone, "no segment is left")] {
        let outcome = try run(subcommand, directory.path)
        #expect(outcome.status == 1, "\(subcommand): \(words)")
        #expect((outcome.output + outcome.errors).contains(words), "\(subcommand): \(outcome)")
      }
    }
  }

  @Test("unusable input: status 2, with what to do")
  func unusable() throws {
    let directory = TemporaryDirectory()
    for subcommand in ["verify", "summary", "show", "redecide"] {
      let outcome = try run(subcommand, "\(directory.path)/none")
      #expect(outcome.status == 2)
      #expect(outcome.output == "" || subcommand == "show")
      #expect(outcome.errors.contains("give the directory that the core writes its trace to"))
    }
  }

  @Test("JSON says the same as the text")
  func json() throws {
    let directory = TemporaryDirectory()
    GoodTraces.rich().write(to: directory)
    for subcommand in ["verify", "summary", "redecide"] {
      let outcome = try run(subcommand, directory.path, "--json")
      let object = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
      let inspection = subcommand == "verify" ? object : object?["inspection"] as? [String: Any]
      #expect(inspection?["good"] as? Bool == true)
      #expect((inspection?["totals"] as? [String: Any])?["decisions"] as? Int == 19)
      if subcommand == "redecide" { #expect(object?["redecided_mismatches"] as? Int == 0) }
    }
  }

  @Test("options out of range are refused before anything is read")
  func options() throws {
    let directory = TemporaryDirectory()
    GoodTraces.small().write(to: directory)
    #expect(
      try run("show", directory.path, "--from", "yesterday").errors.contains("--from is a time with its zone")
    )
    #expect(try run("show", directory.path, "--verdict", "maybe").errors.contains("--verdict is execute"))
    #expect(try run("show", directory.path, "--session", "0xZZ").errors.contains("--session is a number"))
    #expect(try run("summary", directory.path, "--transitions", "-1").status != 0)
  }

  @Test("inspecting changes nothing in the directory")
  func readsOnly() throws {
    let directory = TemporaryDirectory()
    let trace = GoodTraces.small()
    trace.write(to: directory, durable: 4)
    directory.patch(TraceBuilder.name(1), at: trace.blockPlaces.last!.offset + 300) { $0 ^ 1 }
    func picture() throws -> [String: Data] {
      var files: [String: Data] = [:]
      for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
        files[name] = FileManager.default.contents(atPath: "\(directory.path)/\(name)")
      }
      return files
    }
    let before = try picture()
    for subcommand in ["verify", "summary", "show", "redecide"] {
      #expect(try run(subcommand, directory.path).status == 1)
    }
    #expect(try picture() == before)
  }
}
