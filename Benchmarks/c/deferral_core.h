/* SPDX-License-Identifier: Apache-2.0
 *
 * A core that keeps intents, as each part of the deferral benchmark opens it.
 */
#ifndef LTP_DEFERRAL_CORE_H
#define LTP_DEFERRAL_CORE_H

#include "deferral_measure.h"

#include <ltp.h>

#define CLASS_READ 8          /* EXECUTE while UNSTABLE */
#define CLASS_ORDER_CREATE 25 /* DEFER */
#define CLASS_BID 48          /* DENY */
#define PATIENCE_NS UINT64_C(60000000000)

/* Ends the process if status is not LTP_OK. */
void need(int32_t status, const char *what);

/* Keeps everything: no segment is dropped for its age, so that the trace proves every intent at the end. The policy has no limits,
 * so no ramp holds replays up. capacity: intents, pending and remembered. */
ltp_core *core_open(const char *directory, uint64_t capacity);
ltp_lane *lane_open(ltp_core *core);
void core_close(ltp_core *core);
void publish(ltp_core *core, uint8_t state);
ltp_deferral_status deferral_status(ltp_core *core);

ltp_route_request request_of(uint64_t frame, uint64_t session, uint8_t action_class);

/* Keeps an intent with the payload of this number, and does not wait. 0: the log can take nothing just now. */
int keep(ltp_lane *lane, uint64_t session, uint64_t number, ltp_kept *kept);

/* Keeps intents as fast as one caller can, and waits until all are durable. Intent i is of session i modulo their number, so that the
 * log has them in the order in which sessions have turns. */
void keep_many(ltp_core *core, ltp_lane *lane, uint64_t count, uint64_t sessions);

/* So many intents are pending, and so many were kept since the core was opened; else the process ends. */
void need_kept(ltp_core *core, uint64_t pending, uint64_t kept);

/* Opens the directory once more and counts: what was acknowledged is there. */
void need_pending_after_reopening(const char *directory, uint64_t capacity, uint64_t pending);

/* The parts. */
void measure_alone(const char *directory, uint64_t seconds);
void measure_crowd(const char *directory, uint64_t callers, uint64_t seconds, uint64_t lane_count);
void measure_filling(const char *directory, uint64_t count, uint64_t per_session);
void measure_opening(const char *directory, uint64_t count);
void measure_replay(const char *directory, uint64_t count, uint64_t workers);
void measure_decisions(const char *empty_directory, const char *full_directory, uint64_t pending, uint64_t pairs);

#endif
