// SPDX-License-Identifier: Apache-2.0
// (d): the loop in Rust, linked with calls.c. Plain rustc, no crates.
#![no_std]

use core::ffi::c_void;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Verdict {
    epoch: u32,
    retry_after_ms: u32,
    policy_generation: u32,
    verdict: u8,
    reason: u8,
    state: u8,
    commitment: u8,
}

const DECISIONS: usize = 32768;
const FRAMES: usize = 4096;
const FRAME_BYTES: usize = 64;
const EXECUTE: u8 = 2;

extern "C" {
    fn ltp_admit(lane: *mut c_void, frame: *const c_void, available: usize) -> Verdict;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// # Safety
/// `lane` is open, and `frames` holds FRAMES requests.
#[no_mangle]
#[inline(never)]
pub unsafe extern "C" fn interop_measured(lane: *mut c_void, frames: *const u8) -> u64 {
    let mut executed = 0;
    for index in 0..DECISIONS {
        let frame = frames.add(index % FRAMES * FRAME_BYTES);
        let verdict = ltp_admit(lane, frame as *const c_void, FRAME_BYTES);
        executed += (verdict.verdict == EXECUTE) as u64;
    }
    executed
}
