// SPDX-License-Identifier: Apache-2.0
// Kinds of records: all that ltp_trace.h has, with the sizes and the reserved bytes of their structures.

import CLTP
import Foundation
import LTPTestSupport
import Testing

@testable import LTPRecords

@Suite("Record kinds", .guarded)
struct RecordKindTests {
  /// LTP_RECORD_* as the header has them, by name.
  private static func constants() throws -> [String: UInt8] {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
    let header = try String(contentsOf: root.appendingPathComponent("include/ltp_trace.h"), encoding: .utf8)
    var constants: [String: UInt8] = [:]
    for match in header.matches(of: /#define LTP_RECORD_([A-Z]+) \(\(uint8_t\)(\d+)\)/) {
      constants[match.1.lowercased()] = UInt8(match.2)
    }
    return constants
  }

  @Test("the enumeration is the header's list of LTP_RECORD_*, name by name")
  func constants() throws {
    var kinds: [String: UInt8] = [:]
    for kind in RecordKind.allCases { kinds["\(kind)"] = kind.rawValue }
    #expect(kinds == (try Self.constants()))
    #expect(kinds.count == RecordKind.allCases.count)
  }

  @Test("a byte is its kind, or none")
  func rawValues() {
    for byte in UInt8.min...UInt8.max {
      let kind = RecordKind.allCases.first { $0.rawValue == byte }
      #expect(RecordKind(rawValue: byte) == kind)
    }
  }

  /// A zeroed record of a kind, whose mirror names its fields.
  private static func zeroed(_ kind: RecordKind) -> Any {
    switch kind {
    case .decision: ltp_decision_record()
    case .replay: ltp_replay_record()
    case .observed: ltp_observed_record()
    case .unrecorded: ltp_unrecorded_record()
    case .hello: ltp_hello_record()
    case .voided: ltp_voided_record()
    case .kept: ltp_kept_record()
    case .domains: ltp_domains_record()
    case .intent: ltp_intent_record()
    case .step: ltp_step_record()
    case .deferral: ltp_deferral_record()
    case .time: ltp_time_record()
    case .tenant: ltp_tenant_record()
    case .opened: ltp_opened_record()
    case .segment: ltp_segment_record()
    case .transition: ltp_transition_record()
    case .policy: ltp_policy_record()
    case .text: ltp_text_record()
    case .sealed: ltp_sealed_record()
    case .closed: ltp_closed_record()
    case .counts: ltp_counts_record()
    }
  }

  private static func layout<Value>(_ value: Value) -> (size: Int, alignment: Int) {
    (MemoryLayout<Value>.size, MemoryLayout<Value>.alignment)
  }

  /// A structure's fields from their sizes and alignments; those of a header that it starts with one by one.
  private static func fields(of record: Any, at base: Int = 0) -> [(name: String, range: Range<Int>)] {
    var fields: [(name: String, range: Range<Int>)] = []
    var offset = base
    for child in Mirror(reflecting: record).children {
      let (size, alignment) = layout(child.value)
      offset = (offset + alignment - 1) / alignment * alignment
      if child.value is ltp_control_header {
        fields += Self.fields(of: child.value, at: offset)
      } else {
        fields.append((child.label!, offset..<offset + size))
      }
      offset += size
    }
    return fields
  }

  @Test(
    "a record is as long as its structure, whole slots, without a gap between fields",
    arguments: RecordKind.allCases)
  func sizes(_ kind: RecordKind) {
    let record = Self.zeroed(kind)
    let size = Self.layout(record).size
    #expect(kind.byteCount == size)
    #expect(kind.slotCount * 32 == size)
    var end = 0
    for field in Self.fields(of: record) {
      #expect(field.range.lowerBound == end, "before \(field.name)")
      end = field.range.upperBound
    }
    #expect(end == size)
    #expect(kind.isControl == (Mirror(reflecting: record).children.first!.value is ltp_control_header))
  }

  @Test("every byte of a record is a field, or is checked to be zero", arguments: RecordKind.allCases)
  func reserved(_ kind: RecordKind) {
    let reserved = Self.fields(of: Self.zeroed(kind)).filter { $0.name.hasPrefix("reserved") }.map(\.range)
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: kind.byteCount, alignment: 32)
    defer { bytes.deallocate() }
    bytes.initializeMemory(as: UInt8.self, repeating: 0, count: kind.byteCount)
    #expect(kind.reservedFault(RecordView(bytes)) == nil)
    for offset in 0..<kind.byteCount {
      bytes.storeBytes(of: 0xFF, toByteOffset: offset, as: UInt8.self)
      let expected = reserved.contains { $0.contains(offset) } ? offset : nil
      #expect(kind.reservedFault(RecordView(bytes)) == expected)
      bytes.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
    }
  }
}
