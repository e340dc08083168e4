/* SPDX-License-Identifier: Apache-2.0
 *
 * support.h: directories, cores, requests and clocks for the C tests.
 */
#ifndef LTP_SUPPORT_H
#define LTP_SUPPORT_H

#include "ltp.h"

#define SECOND ((uint64_t)1000000000)
#define MILLISECOND ((uint64_t)1000000)

/* Action classes of the built-in policy, one of each kind. */
enum {
  CLASS_PING = 0,
  CLASS_STATUS = 1,
  CLASS_EMERGENCY_STOP = 3,
  CLASS_READ = 8,
  CLASS_CACHE_FILL = 15,
  CLASS_ORDER_CREATE = 25,
  CLASS_ORDER_CANCEL = 44,
  CLASS_BID = 48,
  CLASS_PAYMENT = 56,
  CLASS_MISSING = 127,
};

/* A new directory under $TMPDIR or /tmp. Static storage; the test program removes it when the test has ended. */
const char *new_directory(void);
/* Small segments, blocks and rings, so that tests reach the ends of them. */
ltp_core_options small_options(const char *directory);
ltp_core *open_core(const ltp_core_options *options);
ltp_core *open_small(const char *directory);
ltp_lane *open_lane(ltp_core *core);
/* A closed lane's place in its core is free again once the writer has what it wrote: waits for that. */
ltp_lane *open_lane_patiently(ltp_core *core);
void close_core(ltp_core *core);

/* A well-formed request; priority 200 unless changed. */
ltp_route_request request(uint64_t frame_id, uint64_t session_id, uint8_t action_class);
ltp_verdict admit(ltp_lane *lane, const ltp_route_request *asked);
/* Begins a new life of the session. */
ltp_hello shake_hands(ltp_lane *lane, uint64_t session_id);
/* The request is made in that life, and shows it. */
void carry(ltp_route_request *asked, ltp_hello granted);
/* Publishes and returns the epoch. */
uint32_t publish(ltp_core *core, uint8_t state);
ltp_status status_of(ltp_core *core);
/* Waits until all that the lane wrote is durable. */
void settle(ltp_lane *lane);

uint64_t monotonic_ns(void);
void sleep_ns(uint64_t nanoseconds);
/* Waits for a child; returns its exit status, or 128 + the signal that ended it. */
int wait_for(int process);
/* Files in the directory whose name ends in this. */
int count_files(const char *directory, const char *ending);

#endif
