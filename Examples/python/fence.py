# SPDX-License-Identifier: Apache-2.0
"""Fencing: an EXECUTE that was given before an outage, and arrives at the database after it, is refused there.

    python3 fence.py TRACE_DIRECTORY      LTP_LIBRARY names the shared library; default: libltp.so.3
"""

import ctypes
import os
import secrets
import sqlite3
import sys

from admit import HEALTHY, UNSTABLE, DB_WRITE_LATENCY, METRICS_STABILIZED, ROUTE_REQUEST
from admit import Error, Options, RouteRequest, Transition, load

HELLO, PROTOCOL_VERSION = 1, 2
ORDER_MODIFY, EXECUTE = 43, 2
GATEWAY = 7  # the continuity domain


class Hello(ctypes.Structure):
    _fields_ = [
        ("header", ctypes.c_uint64),
        ("frame_id", ctypes.c_uint64),
        ("session_id", ctypes.c_uint64),
        ("continuity_token", ctypes.c_uint64),
        ("client_nonce", ctypes.c_uint64),
        ("continuity_epoch", ctypes.c_uint32),
        ("incarnation", ctypes.c_uint32),
        ("node_id", ctypes.c_uint32),
        ("heartbeat_interval_ms", ctypes.c_uint32),
        ("domain", ctypes.c_uint8),
        ("version_min", ctypes.c_uint8),
        ("version_max", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8),
        ("retry_after_ms", ctypes.c_uint32),
    ]


class Book:
    """The order book. Whatever reaches it says with which fencing number it was let in."""

    def __init__(self):
        self.rows = sqlite3.connect(":memory:", isolation_level=None)
        self.rows.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, quantity INTEGER NOT NULL)")
        self.rows.execute("CREATE TABLE fences (domain INTEGER PRIMARY KEY, number INTEGER NOT NULL)")
        self.rows.execute("INSERT INTO orders VALUES (1, 100)")
        self.rows.execute("INSERT INTO fences VALUES (?, 0)", (GATEWAY,))

    def raise_fence(self, number):
        """After an outage: nothing that was let in before it is taken any more."""
        self.rows.execute("UPDATE fences SET number = ? WHERE domain = ? AND number < ?", (number, GATEWAY, number))

    def modify(self, fence, order, quantity):
        """Returns whether the order was changed."""
        change = self.rows.execute(
            "UPDATE orders SET quantity = ? WHERE id = ? AND ? >= (SELECT number FROM fences WHERE domain = ?)",
            (quantity, order, fence, GATEWAY),
        )
        return change.rowcount == 1


class Service:
    def __init__(self, directory):
        self.ltp = load()
        self.ltp.ltp_hello_answer.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        self.ltp.ltp_lane_fence.argtypes = [ctypes.c_void_p, ctypes.c_uint8, ctypes.c_uint32]
        self.ltp.ltp_lane_fence.restype = ctypes.c_uint64
        self.error, options = Error(), Options()
        self.core, self.lane = ctypes.c_void_p(), ctypes.c_void_p()
        self.frames = 0
        self.check(self.ltp.ltp_core_options_init(ctypes.byref(options), ctypes.sizeof(options)))
        options.trace_directory = os.fsencode(directory)
        self.check(self.ltp.ltp_core_open(ctypes.byref(options), ctypes.byref(self.core), ctypes.byref(self.error)))
        self.check(self.ltp.ltp_lane_open(self.core, ctypes.byref(self.lane), ctypes.byref(self.error)))

    def check(self, status):
        if status != 0:
            sys.exit(f"fence.py: {(self.error.message or self.ltp.ltp_status_text(status)).decode()}")

    def publish(self, state, reason):
        transition = Transition(ctypes.sizeof(Transition), 0, state, reason)
        self.check(self.ltp.ltp_orientation_publish(self.core, ctypes.byref(transition), None))

    def frame(self, kind, frame_type):
        frame = kind()
        self.check(self.ltp.ltp_frame_init(ctypes.byref(frame), ctypes.sizeof(frame), frame_type, 0))
        self.frames += 1
        frame.frame_id, frame.session_id, frame.domain = self.frames, 42, GATEWAY
        return frame

    def greet(self):
        """A new life of the session, as a client would ask for it."""
        hello, answer = self.frame(Hello, HELLO), Hello()
        hello.client_nonce = secrets.randbits(63) + 1
        hello.version_min = hello.version_max = PROTOCOL_VERSION
        self.check(
            self.ltp.ltp_hello_answer(self.lane, ctypes.byref(hello), ctypes.sizeof(hello), ctypes.byref(answer))
        )
        return answer

    def admit(self, life):
        """Lets a change of an order in; returns the fencing number that goes to the database with it."""
        request = self.frame(RouteRequest, ROUTE_REQUEST)
        request.continuity_token, request.incarnation = life.continuity_token, life.incarnation
        request.intent_epoch, request.action_class, request.priority = life.continuity_epoch, ORDER_MODIFY, 200
        verdict = self.ltp.ltp_admit(self.lane, ctypes.byref(request), ctypes.sizeof(request))
        if verdict.verdict != EXECUTE:
            sys.exit(f"fence.py: refused: {self.ltp.ltp_reason_name(verdict.reason).decode()}")
        return self.ltp.ltp_lane_fence(self.lane, GATEWAY, verdict.epoch)

    def close(self):
        self.check(self.ltp.ltp_lane_close(self.lane))
        self.check(self.ltp.ltp_core_close(self.core, 10_000_000_000, ctypes.byref(self.error)))


def main():
    if len(sys.argv) != 2:
        print("usage: fence.py TRACE_DIRECTORY", file=sys.stderr)
        return 2
    service, book = Service(sys.argv[1]), Book()
    service.publish(HEALTHY, METRICS_STABILIZED)
    life = service.greet()
    print("at once:", "changed" if book.modify(service.admit(life), 1, 90) else "refused")
    late = service.admit(life)  # and its worker falls asleep

    service.publish(UNSTABLE, DB_WRITE_LATENCY)
    service.publish(HEALTHY, METRICS_STABILIZED)
    life = service.greet()
    fence = service.admit(life)
    book.raise_fence(fence)

    print("let in before the outage, carried out after it:", "changed" if book.modify(late, 1, 5) else "refused")
    print("let in after it:", "changed" if book.modify(fence, 1, 80) else "refused")
    service.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
