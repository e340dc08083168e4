/* SPDX-License-Identifier: Apache-2.0
 *
 * (e): the same decision and the same record, written by hand in C: what the library is held against. Its policy is
 * the built-in one in one state, its blocks are hashed by a thread of its own as the library's writer does, and
 * nothing is written to disk.
 */
#ifndef LTP_REFERENCE_H
#define LTP_REFERENCE_H

#include "ltp.h"

typedef struct reference_lane reference_lane;

reference_lane *reference_open(uint8_t state);
void reference_close(reference_lane *lane);
ltp_verdict reference_admit(reference_lane *lane, const void *frame, size_t available);
/* What a hello would grant, and in which continuity epoch. */
uint64_t reference_token(const reference_lane *lane, uint64_t session_id, uint32_t incarnation);
uint32_t reference_epoch(const reference_lane *lane);
/* Waits until every whole block so far has been hashed. */
void reference_settle(reference_lane *lane);

#endif
