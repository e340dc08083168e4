// SPDX-License-Identifier: Apache-2.0
// A report as one page that needs nothing else: a plot, and the text. No script, no other file; whatever comes from the trace is escaped.

import ArgumentParser
import Foundation
import LTPInspect

/// What the readers that can write a page take.
struct HTMLArguments: ParsableArguments {
  @Option(help: ArgumentHelp("Write the report as one self-contained page.", valueName: "file"))
  var html: String?

  func write(_ page: @autoclosure () -> ReportPage) throws {
    guard let html else { return }
    do {
      try Data(page().text.utf8).write(to: URL(fileURLWithPath: html))
    } catch {
      FileHandle.standardError.write(
        Data("ltp inspect: cannot write \(html): \(error.localizedDescription)\n".utf8))
      throw ExitCode(2)
    }
  }
}

struct ReportPage {
  var title: String
  /// The trace's directory.
  var subject: String
  /// Shown as a badge; nil: the report judges nothing.
  var passes: Bool?
  var picture: TracePicture
  var report: String

  private static let style = """
    body{font:15px/1.45 system-ui,sans-serif;color:#1c2330;background:#fff;margin:0 auto;max-width:1120px;padding:24px 32px}
    h1{font-size:24px;margin:0 0 2px}
    p.subject{color:#5a6475;margin:0 0 18px;overflow-wrap:anywhere}
    .badge{display:inline-block;color:#fff;border-radius:4px;padding:1px 12px;margin-left:12px;font-size:17px;vertical-align:2px}
    .pass{background:#2e7d4f}.fail{background:#b3261e}
    svg{display:block;width:100%;height:auto;margin:0 0 20px}
    svg text{font:12px system-ui,sans-serif;fill:#3c4656}
    svg text.band{fill:#fff;font-weight:600}
    pre{font:13px/1.5 ui-monospace,monospace;background:#f5f6f8;border-radius:6px;padding:16px 18px;margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
    """

  var text: String {
    let badge = passes.map { "<span class=\"badge \($0 ? "pass\">PASS" : "fail\">FAIL")</span>" } ?? ""
    return """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8"><title>\(escaped(title)) of \(escaped(subject))</title>
      <style>\(Self.style)</style></head><body>
      <h1>\(escaped(title))\(badge)</h1>
      <p class="subject">\(escaped(subject))</p>
      \(TracePlot(picture).svg)
      <pre>\(escaped(report))</pre>
      </body></html>

      """
  }
}

/// Text in HTML or in an attribute.
func escaped(_ text: String) -> String {
  var out = ""
  for character in text.unicodeScalars {
    switch character {
    case "&": out += "&amp;"
    case "<": out += "&lt;"
    case ">": out += "&gt;"
    case "\"": out += "&quot;"
    case "'": out += "&#39;"
    default: out.unicodeScalars.append(character)
    }
  }
  return out
}
