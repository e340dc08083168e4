// SPDX-License-Identifier: Apache-2.0
// A trace's directory, read once: which segments there are, in order, and what else lies there. Nothing is
// opened for writing, no link is followed.

import CLTP
import CLTPSystem
import LTPStorage

/// Names of segment files: sixteen lower-case hexadecimal digits and ".ltp".
public enum SegmentName {
  public static func text(_ index: UInt64) -> String {
    let digits = String(index, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits + ".ltp"
  }
}

/// An open directory. Closes its descriptor when it goes.
public final class TraceDirectory {
  /// More segments than this are refused: the list of them is the one thing here that grows with the trace.
  public static let segmentsMax = 1 << 20

  public let path: String
  let descriptor: Int32
  /// Segment indices, ascending.
  public private(set) var segments: [UInt64] = []
  private var hasWatermark = false
  /// Segments that were being prepared (".tmp").
  public private(set) var preparedCount = 0
  /// Copies of torn tails that recovery left ("torn-*").
  public private(set) var tornCopyCount = 0
  /// Entries that do not belong to a trace.
  public private(set) var foreignCount = 0
  public private(set) var foreignExample: String?

  public init(_ path: String) throws(InspectFailure) {
    self.path = path
    descriptor = ltp_system_open_directory(path)
    guard descriptor >= 0 else {
      throw InspectFailure(
        "cannot read the directory \(path): \(errorText(descriptor)); give the directory that the core writes "
          + "its trace to")
    }
    try list()
    // A watermark without segments may tell of a loss.
    guard !segments.isEmpty || hasWatermark else { throw holdsNoSegments }
    segments.sort()
  }

  var holdsNoSegments: InspectFailure {
    InspectFailure(
      "\(path) holds no segments (files named like \(SegmentName.text(0))); give the directory that the core "
        + "writes its trace to")
  }

  deinit {
    if descriptor >= 0 { _ = ltp_system_close(descriptor) }
  }

  private func list() throws(InspectFailure) {
    var stream: UnsafeMutableRawPointer?
    var failure: Int32 = 0
    while let entry = ltp_system_next_entry(descriptor, &stream, &failure) {
      switch FileName(entry).flatMap({ ChainNaming.trace.file(named: $0) }) {
      case .segment(let index):
        guard segments.count < Self.segmentsMax else {
          ltp_system_end_entries(stream)
          throw InspectFailure(
            "\(path) holds more than \(Self.segmentsMax) segments; inspect them in parts, in directories of "
              + "their own")
        }
        segments.append(index)
      case .prepared, .preparedWatermark: preparedCount += 1
      case .watermark: hasWatermark = true
      case .torn: tornCopyCount += 1
      case nil: noteOther(String(cString: entry))
      }
    }
    guard failure == 0 else {
      throw InspectFailure("cannot list \(path): \(errorText(failure))")
    }
  }

  private func noteOther(_ name: String) {
    if name == "." || name == ".." { return }
    // The deferral log's: what it holds is told in the trace.
    if name.hasPrefix(LTP_DEFERRAL_PREFIX) { return }
    if name.hasPrefix("torn-") {
      tornCopyCount += 1
    } else {
      foreignCount += 1
      if foreignExample == nil { foreignExample = printable(name) }
    }
  }

  /// Whether another process has this segment open for writing.
  func isLocked(segment: UInt64) -> Bool {
    ltp_system_is_locked_at(descriptor, SegmentName.text(segment)) == 1
  }

  func note(in findings: Findings) {
    if preparedCount > 0 {
      findings.note(
        "\(preparedCount) file(s) being prepared (.tmp) are not part of the log and were not read")
    }
    if tornCopyCount > 0 {
      findings.note(
        "\(tornCopyCount) copy(ies) of a torn tail (torn-*) were kept by recovery and were not read")
    }
    if let foreignExample {
      findings.note("\(foreignCount) other file(s) were not read, the first: \(foreignExample)")
    }
  }
}

/// The system's words for -errno.
func errorText(_ failure: Int32) -> String {
  String(cString: ltp_system_error_text(failure < 0 ? -failure : failure))
}

/// Text from outside, fit for a terminal: control characters become '?'.
func printable(_ text: String) -> String {
  String(String.UnicodeScalarView(text.unicodeScalars.map { isPlain($0) ? $0 : "?" }))
}

/// Neither a control character nor one that changes the order of what follows it.
func isPlain(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
  default: true
  }
}
