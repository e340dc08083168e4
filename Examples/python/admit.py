# SPDX-License-Identifier: Apache-2.0
"""Python through ctypes: decides an order while the service is well, and after it became unstable.

    python3 admit.py TRACE_DIRECTORY      LTP_LIBRARY names the shared library; default: libltp.so.3
"""

import ctypes
import os
import sys


class Options(ctypes.Structure):
    """The first fields of ltp_core_options; ltp_core_options_init fills in the rest."""

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("storage", ctypes.c_uint32),
        ("trace_directory", ctypes.c_char_p),
        ("rest", ctypes.c_uint64 * 13),
    ]


class Error(ctypes.Structure):
    _fields_ = [
        ("status", ctypes.c_int32),
        ("system_error", ctypes.c_int32),
        ("place", ctypes.c_uint64 * 3),
        ("message", ctypes.c_char * 224),
        ("reserved", ctypes.c_uint64 * 4),
    ]


class Transition(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("to", ctypes.c_uint8),
        ("reason", ctypes.c_uint8),
        ("rest", ctypes.c_uint8 * 6),
        ("evidence_and_text", ctypes.c_uint64 * 24),
    ]


class RouteRequest(ctypes.Structure):
    _fields_ = [
        ("header", ctypes.c_uint64),
        ("frame_id", ctypes.c_uint64),
        ("session_id", ctypes.c_uint64),
        ("continuity_token", ctypes.c_uint64),
        ("deadline_ns", ctypes.c_uint64),
        ("intent_epoch", ctypes.c_uint32),
        ("incarnation", ctypes.c_uint32),
        ("action_class", ctypes.c_uint8),
        ("domain", ctypes.c_uint8),
        ("priority", ctypes.c_uint8),
        ("cohort", ctypes.c_uint8),
        ("tenant_id", ctypes.c_uint32),
        ("cost", ctypes.c_uint32),
        ("reserved", ctypes.c_uint8 * 4),
    ]


class Verdict(ctypes.Structure):
    _fields_ = [
        ("epoch", ctypes.c_uint32),
        ("retry_after_ms", ctypes.c_uint32),
        ("policy_generation", ctypes.c_uint32),
        ("verdict", ctypes.c_uint8),
        ("reason", ctypes.c_uint8),
        ("state", ctypes.c_uint8),
        ("commitment", ctypes.c_uint8),
    ]


ROUTE_REQUEST = 4
HEALTHY, UNSTABLE = 1, 4
DB_WRITE_LATENCY, METRICS_STABILIZED = 7, 12
ORDER_CREATE = 25


def load():
    ltp = ctypes.CDLL(os.environ.get("LTP_LIBRARY", "libltp.so.3"))
    pointer = ctypes.c_void_p
    ltp.ltp_core_options_init.argtypes = [pointer, ctypes.c_size_t]
    ltp.ltp_core_open.argtypes = [pointer, pointer, pointer]
    ltp.ltp_core_close.argtypes = [pointer, ctypes.c_uint64, pointer]
    ltp.ltp_lane_open.argtypes = [pointer, pointer, pointer]
    ltp.ltp_lane_close.argtypes = [pointer]
    ltp.ltp_orientation_publish.argtypes = [pointer, pointer, pointer]
    ltp.ltp_frame_init.argtypes = [pointer, ctypes.c_size_t, ctypes.c_uint8, ctypes.c_uint16]
    ltp.ltp_admit.argtypes = [pointer, pointer, ctypes.c_size_t]
    ltp.ltp_admit.restype = Verdict
    for name in ("ltp_verdict_name", "ltp_reason_name", "ltp_state_name", "ltp_status_text"):
        getattr(ltp, name).restype = ctypes.c_char_p
    return ltp


def main():
    if len(sys.argv) != 2:
        print("usage: admit.py TRACE_DIRECTORY", file=sys.stderr)
        return 2
    ltp = load()
    error = Error()

    def check(status):
        if status != 0:
            sys.exit(f"admit.py: {(error.message or ltp.ltp_status_text(status)).decode()}")

    options = Options()
    check(ltp.ltp_core_options_init(ctypes.byref(options), ctypes.sizeof(options)))
    options.trace_directory = os.fsencode(sys.argv[1])
    core, lane = ctypes.c_void_p(), ctypes.c_void_p()
    check(ltp.ltp_core_open(ctypes.byref(options), ctypes.byref(core), ctypes.byref(error)))
    check(ltp.ltp_lane_open(core, ctypes.byref(lane), ctypes.byref(error)))
    request = RouteRequest()
    check(ltp.ltp_frame_init(ctypes.byref(request), ctypes.sizeof(request), ROUTE_REQUEST, 0))
    request.session_id, request.action_class = 42, ORDER_CREATE
    for frame_id, (state, reason) in enumerate(
        [(HEALTHY, METRICS_STABILIZED), (UNSTABLE, DB_WRITE_LATENCY)], start=1
    ):
        transition = Transition(ctypes.sizeof(Transition), 0, state, reason)
        check(ltp.ltp_orientation_publish(core, ctypes.byref(transition), None))
        request.frame_id = frame_id
        verdict = ltp.ltp_admit(lane, ctypes.byref(request), ctypes.sizeof(request))
        name = ltp.ltp_state_name(verdict.state), ltp.ltp_verdict_name(verdict.verdict)
        print(*(text.decode() for text in name), ltp.ltp_reason_name(verdict.reason).decode())
    check(ltp.ltp_lane_close(lane))
    check(ltp.ltp_core_close(core, 10_000_000_000, ctypes.byref(error)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
