// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's target for frames (fault 26). Built by scripts/fuzz with the address sanitizer.
//
// For every input: no over-read, aligned or not, and the same answer both times; an accepted frame written
// again gives the same bytes; the request path's check answers as the full check does. FUZZ_CANARY_COMPARE
// and FUZZ_CANARY_READ each plant a bug that the fuzzer must find.

import LTPFrames

/// Called by libFuzzer with each input. Traps on a finding.
@c(LLVMFuzzerTestOneInput)
public func fuzzFrames(_ input: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = UnsafeRawBufferPointer(start: input, count: count)
  let aligned = FrameFinding(checking: bytes, shift: 0)
  let unaligned = FrameFinding(checking: bytes, shift: 1)
  guard aligned == unaligned else { fatalError("the answer depends on the alignment") }
  return 0
}

/// What the checks say of a frame. Made from a copy that ends where its memory ends, so that the sanitizer
/// sees a read beyond it.
private struct FrameFinding: Equatable {
  let status: Int32
  let offset: UInt32
  let isWellFormedRequest: Bool

  init(checking input: UnsafeRawBufferPointer, shift: Int) {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: input.count + shift, alignment: 16)
    defer { memory.deallocate() }
    let bytes = UnsafeMutableRawBufferPointer(rebasing: memory[shift...])
    bytes.copyMemory(from: input)
    guard let start = UnsafeRawPointer(bytes.baseAddress) else { fatalError("no memory") }

    do throws(FrameError) {
      let frame = try FrameView(checking: start, available: Self.available(input.count))
      Self.rewrite(frame)
      status = 0
      offset = 0
    } catch {
      status = error.status
      offset = error.offset
    }
    isWellFormedRequest = Self.isWellFormed(start, available: input.count)
    let isRequest = input.count > 3 && input[3] == RouteRequestView.type
    guard isWellFormedRequest == (status == 0 && isRequest) else {
      fatalError("isWellFormed and the full check disagree")
    }
  }

  /// Writes the accepted frame again, into memory that has exactly its size.
  private static func rewrite(_ frame: FrameView) {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.sizeBytes, alignment: 16)
    defer { copy.deallocate() }
    do throws(FrameError) {
      try frame.write(into: copy.baseAddress, capacity: copy.count)
    } catch {
      fatalError("an accepted frame is refused when written again: \(error.field)")
    }
    let original = UnsafeRawBufferPointer(start: frame.bytes, count: frame.sizeBytes)
    guard copy.elementsEqual(original) else { fatalError("written again, the frame differs") }
  }

  private static func available(_ count: Int) -> Int {
    #if FUZZ_CANARY_READ
      // A caller's mistake that the sanitizer must see: more is said to be there than is.
      return count + 1
    #else
      return count
    #endif
  }

  private static func isWellFormed(_ start: UnsafeRawPointer, available: Int) -> Bool {
    #if FUZZ_CANARY_COMPARE
      // A check that overlooks one reserved byte of a route_request.
      let copy = UnsafeMutableRawPointer.allocate(byteCount: max(available, 64), alignment: 16)
      defer { copy.deallocate() }
      copy.copyMemory(from: start, byteCount: available)
      copy.storeBytes(of: 0, toByteOffset: 62, as: UInt8.self)
      return RouteRequestView.isWellFormed(copy, available: available)
    #else
      return RouteRequestView.isWellFormed(start, available: available)
    #endif
  }
}
