// SPDX-License-Identifier: Apache-2.0
// ltp.h: opening and closing a core, and driving it. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPCore
import LTPRecords
import LTPRules
import LTPStorage
import LTPTrace
import Synchronization

@c @implementation
public func ltp_core_options_init(
  _ options: UnsafeMutablePointer<ltp_core_options>!, _ structSize: Int
) -> Int32 {
  writeSized(CoreOptions.defaults(), to: options, size: structSize, least: CoreOptions.leastBytes)
}

@c @implementation
public func ltp_key_read(
  _ path: UnsafePointer<CChar>!, _ key: UnsafeMutablePointer<UInt8>!,
  _ details: UnsafeMutablePointer<ltp_error>!
) -> Int32 {
  guard let path, let key else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
  return withCopy(ofPath: path, tooLong: LTP_ERROR_KEY_FILE, details) { path in
    do throws(KeyFault) {
      try KeyFile.read(path, into: UnsafeMutableRawPointer(key))
      return LTP_OK
    } catch {
      return report(details, LTP_ERROR_KEY_FILE, code: error.code, text: error.text)
    }
  }
}

@c @implementation
public func ltp_core_open(
  _ options: UnsafePointer<ltp_core_options>!, _ core: UnsafeMutablePointer<OpaquePointer?>!,
  _ details: UnsafeMutablePointer<ltp_error>!
) -> Int32 {
  guard let core, let options else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
  core.pointee = nil
  let given: ltp_core_options
  let checked: CoreOptions
  do throws(OptionFault) {
    given = try readSized(options, least: CoreOptions.leastBytes)
    checked = try CoreOptions(given)
  } catch {
    return report(details, fault: error)
  }
  guard let path = given.trace_directory else {
    return report(details, LTP_ERROR_NULL_ARGUMENT, text: "trace_directory is NULL; name a directory")
  }
  return withPolicy(of: given, details) { policy in
    do throws(PolicyRefusal) { try PolicyCheck.check(policy) } catch {
      return report(details, refusal: error, policy: policy)
    }
    return withCopy(ofPath: path, tooLong: LTP_ERROR_TRACE_DIRECTORY, details) { path in
      guard let page = given.orientation_page else {
        return open(path, page: nil, checked, policy, into: core, details)
      }
      return withCopy(ofPath: page, tooLong: LTP_ERROR_PAGE_FILE, details) { page in
        open(path, page: page, checked, policy, into: core, details)
      }
    }
  }
}

/// Calls `body` with a copy of the options' policy, or with the built-in one.
private func withPolicy(
  of options: ltp_core_options, _ details: UnsafeMutablePointer<ltp_error>?,
  _ body: (UnsafePointer<ltp_policy>) -> Int32
) -> Int32 {
  if let policy = options.policy {
    return withCopy(of: policy, details, body)
  }
  return withPolicyMemory(details) { builtIn in
    DefaultPolicy.write(to: builtIn)
    return body(builtIn)
  }
}

/// Opens a core with options and a policy that have been checked.
private func open(
  _ path: UnsafePointer<CChar>, page: UnsafePointer<CChar>?, _ options: CoreOptions,
  _ policy: UnsafePointer<ltp_policy>, into core: UnsafeMutablePointer<OpaquePointer?>,
  _ details: UnsafeMutablePointer<ltp_error>?
) -> Int32 {
  do throws(OpenFault) {
    let page = try page.map { (path) throws(OpenFault) in
      try followed(path, anyOwner: options.followsAnyOwnersPage)
    }
    do throws(OpenFault) {
      core.pointee = try Core.open(path: path, options: options, policy: policy, following: page)
    } catch {
      page?.release()
      throw error
    }
    return report(details, LTP_OK)
  } catch {
    return report(details, fault: error)
  }
}

/// The page that the options name, mapped.
private func followed(_ path: UnsafePointer<CChar>, anyOwner: Bool) throws(OpenFault) -> MappedPage {
  do throws(PageFault) { return try MappedPage.reading(path, anyOwner: anyOwner) } catch {
    throw OpenFault(error.status, statusText(error.status), code: error.code)
  }
}

@c @implementation
public func ltp_core_close(
  _ core: OpaquePointer!, _ timeoutNanoseconds: UInt64, _ details: UnsafeMutablePointer<ltp_error>!
) -> Int32 {
  do throws(CloseFault) {
    try Core.close(core, timeoutNanoseconds: timeoutNanoseconds)
    return report(details, LTP_OK)
  } catch {
    return report(details, fault: error)
  }
}

@c @implementation
public func ltp_durable_descriptor(
  _ core: OpaquePointer!, _ descriptor: UnsafeMutablePointer<Int32>!
) -> Int32 {
  withCore(core) { core in
    guard let descriptor else { return LTP_ERROR_NULL_ARGUMENT }
    let opened = core.durableDescriptor()
    descriptor.pointee = max(opened, -1)
    return opened >= 0 ? LTP_OK : LTP_ERROR_TRACE_DESCRIPTORS
  }
}

@c @implementation
public func ltp_event_descriptor(
  _ core: OpaquePointer!, _ descriptor: UnsafeMutablePointer<Int32>!
) -> Int32 {
  withCore(core) { core in
    guard let descriptor else { return LTP_ERROR_NULL_ARGUMENT }
    descriptor.pointee = -1
    guard core.isHostDriven else { return LTP_ERROR_NOT_HOST_DRIVEN }
    descriptor.pointee = core.state.pointee.events.all
    return LTP_OK
  }
}

@c @implementation
public func ltp_poll(_ core: OpaquePointer!) -> Int32 { withCore(core) { $0.poll() } }

@c @implementation
public func ltp_poll_end(_ core: OpaquePointer!) -> Int32 { withCore(core) { $0.endPolling() } }
