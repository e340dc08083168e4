// SPDX-License-Identifier: Apache-2.0
//
// Rust without crates: plain rustc, the C library, and a lane that closes itself.
//
//   admit TRACE_DIRECTORY
use std::ffi::{c_char, c_void, CStr, CString};
use std::process::exit;

#[repr(C)]
#[derive(Clone, Copy)]
struct Verdict {
    epoch: u32,
    retry_after_ms: u32,
    policy_generation: u32,
    verdict: u8,
    reason: u8,
    state: u8,
    commitment: u8,
}

/// The first fields of ltp_core_options; ltp_core_options_init fills in the rest.
#[repr(C)]
struct Options {
    struct_size: u32,
    storage: u32,
    trace_directory: *const c_char,
    rest: [u64; 11],
}

/// ltp_transition: struct_size, flags, to, reason, and what may stay zero.
#[repr(C, align(8))]
struct Transition {
    struct_size: u32,
    flags: u32,
    to: u8,
    reason: u8,
    rest: [u8; 198],
}

#[link(name = "ltp")]
extern "C" {
    fn ltp_core_options_init(options: *mut Options, struct_size: usize) -> i32;
    fn ltp_core_open(options: *const Options, core: *mut *mut c_void, error: *mut c_void) -> i32;
    fn ltp_core_close(core: *mut c_void, timeout_ns: u64, error: *mut c_void) -> i32;
    fn ltp_lane_open(core: *mut c_void, lane: *mut *mut c_void, error: *mut c_void) -> i32;
    fn ltp_lane_close(lane: *mut c_void) -> i32;
    fn ltp_orientation_publish(core: *mut c_void, transition: *const Transition, epoch: *mut u32) -> i32;
    fn ltp_frame_init(bytes: *mut c_void, capacity: usize, kind: u8, flags: u16) -> i32;
    fn ltp_admit(lane: *mut c_void, frame: *const c_void, available: usize) -> Verdict;
    fn ltp_status_text(status: i32) -> *const c_char;
    fn ltp_verdict_name(verdict: u8) -> *const c_char;
    fn ltp_reason_name(reason: u8) -> *const c_char;
}

const HEALTHY: u8 = 1;
const METRICS_STABILIZED: u8 = 12;
const ROUTE_REQUEST: u8 = 4;

fn text(pointer: *const c_char) -> String {
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

fn check(status: i32) {
    if status != 0 {
        eprintln!("admit: {}", text(unsafe { ltp_status_text(status) }));
        exit(1);
    }
}

struct Lane(*mut c_void);

impl Lane {
    fn admit(&mut self, frame: &[u8; 64]) -> Verdict {
        unsafe { ltp_admit(self.0, frame.as_ptr().cast(), frame.len()) }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        unsafe { ltp_lane_close(self.0) };
    }
}

fn main() {
    let Some(directory) = std::env::args().nth(1) else {
        eprintln!("usage: admit TRACE_DIRECTORY");
        exit(2);
    };
    let directory = CString::new(directory).expect("a path has no zero byte");
    let mut core = std::ptr::null_mut();
    let mut lane = Lane(std::ptr::null_mut());
    unsafe {
        let mut options: Options = std::mem::zeroed();
        check(ltp_core_options_init(&mut options, std::mem::size_of::<Options>()));
        options.trace_directory = directory.as_ptr();
        check(ltp_core_open(&options, &mut core, std::ptr::null_mut()));
        check(ltp_lane_open(core, &mut lane.0, std::ptr::null_mut()));
        let mut transition: Transition = std::mem::zeroed();
        transition.struct_size = std::mem::size_of::<Transition>() as u32;
        transition.to = HEALTHY;
        transition.reason = METRICS_STABILIZED;
        check(ltp_orientation_publish(core, &transition, std::ptr::null_mut()));
    }
    let mut frame = [0u8; 64];
    check(unsafe { ltp_frame_init(frame.as_mut_ptr().cast(), frame.len(), ROUTE_REQUEST, 0) });
    frame[8..16].copy_from_slice(&1u64.to_le_bytes()); // frame_id
    frame[16..24].copy_from_slice(&42u64.to_le_bytes()); // session_id
    frame[48..50].copy_from_slice(&25u16.to_le_bytes()); // action_class: order_create
    let verdict = lane.admit(&frame);
    println!("{}: {}", text(unsafe { ltp_verdict_name(verdict.verdict) }), text(unsafe { ltp_reason_name(verdict.reason) }));
    drop(lane);
    check(unsafe { ltp_core_close(core, 10_000_000_000, std::ptr::null_mut()) });
}
