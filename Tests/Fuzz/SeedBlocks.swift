// SPDX-License-Identifier: Apache-2.0
//
// The first inputs of the block fuzzer: a whole trace's blocks raw, and their bodies as FuzzBlocks takes them.

import CLTP
import Glibc
import LTPStorage

@main
enum SeedBlocks {
  static func main() {
    guard CommandLine.arguments.count == 2 else {
      print("usage: seeds DIRECTORY")
      exit(2)
    }
    let directory = CommandLine.arguments[1]
    let trace = GoodTraces.rich()
    for (index, place) in trace.blockPlaces.enumerated() {
      let segment = trace.segments.first { $0.index == place.segment }!.bytes
      let block = Array(segment[place.offset..<place.offset + place.size])
      write([0] + block, "\(directory)/raw-\(index)")
    }
    for segment in trace.segments {
      var bodies: [UInt8] = [1]
      for place in trace.blockPlaces where place.segment == segment.index {
        let header = segment.bytes.withUnsafeBytes {
          $0.loadUnaligned(fromByteOffset: place.offset, as: ltp_block_header.self)
        }
        let slots = Int(header.slot_count)
        bodies += [UInt8(truncatingIfNeeded: place.lane), UInt8((slots - 1) & 255), UInt8((slots - 1) >> 8)]
        bodies += withUnsafeBytes(of: header.orientation_word.littleEndian) { Array($0) }
        bodies += segment.bytes[place.offset + 256..<place.offset + 256 + slots * 32]
      }
      write(bodies, "\(directory)/bodies-\(segment.index)")
    }
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
