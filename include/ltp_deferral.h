/* SPDX-License-Identifier: Apache-2.0
 *
 * ltp_deferral.h: what a deferral log holds on disk: intents that were answered with DEFER, their payloads, and what became of them. A
 * directory of segments named "deferred-%016x.ltp", of blocks as in ltp_trace.h, in a chain of their own. Payloads lie here and nowhere
 * else; the trace holds their hashes.
 */
#ifndef LTP_DEFERRAL_H
#define LTP_DEFERRAL_H

#include "ltp_trace.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LTP_DEFERRAL_VERSION 1
#define LTP_DEFERRAL_PREFIX "deferred-"
#define LTP_DEFERRAL_LANE ((uint32_t)1) /* whose blocks hold intents and steps; those of lane 0 begin and end segments */

/* What a slot holds; its first byte. */
#define LTP_DEFERRAL_INTENT ((uint8_t)1)  /* 5 slots and the payload, in whole slots */
#define LTP_DEFERRAL_STEP ((uint8_t)2)    /* 1 slot: what became of an intent */
#define LTP_DEFERRAL_SEGMENT ((uint8_t)3) /* 1 slot, lane 0: first record of each segment */
#define LTP_DEFERRAL_SEALED ((uint8_t)4)  /* 1 slot, lane 0: last record of a full segment */

/* An intent is kept. Its ticket: its number in the log (40 bits) and its place in the table of pending intents (24 bits), so that
 * a ticket that was never given, or is not pending any more, is known without a table of tickets. */
#define LTP_TICKET_SLOT_BITS 24
typedef struct ltp_deferral_intent {
  uint8_t kind;           /* LTP_DEFERRAL_INTENT */
  uint8_t condition;      /* LTP_COMMITMENT_* */
  uint16_t attempts_max;  /* at least 1 */
  uint32_t payload_bytes; /* at least 1; the payload follows this structure, zeros up to a whole slot */
  uint64_t ticket;
  uint8_t key[16];        /* the idempotency key; all zero: session and frame id are the key */
  uint64_t kept_unix_ns;
  uint64_t expires_unix_ns; /* every intent has an end */
  uint8_t reserved[16];
  ltp_route_request request;
  uint8_t content_hash[LTP_HASH_BYTES]; /* SHA-256 of the payload */
} ltp_deferral_intent;

#define LTP_STEP_BEGUN ((uint8_t)1)     /* handed to a worker, until when */
#define LTP_STEP_COMMITTED ((uint8_t)2) /* carried out */
#define LTP_STEP_RELEASED ((uint8_t)3)  /* given back, not carried out; not before when */
#define LTP_STEP_ENDED ((uint8_t)4)     /* it will not be carried out; why */
#define LTP_STEP_COUNT 5

#define LTP_END_NONE ((uint8_t)0)
#define LTP_END_EXPIRED ((uint8_t)1)
#define LTP_END_ATTEMPTS ((uint8_t)2)  /* its attempts were used up */
#define LTP_END_ABANDONED ((uint8_t)3) /* by the worker that had it */
#define LTP_END_CANCELLED ((uint8_t)4) /* by an operator */
#define LTP_END_COUNT 5

typedef struct ltp_deferral_step {
  uint8_t kind; /* LTP_DEFERRAL_STEP */
  uint8_t step; /* LTP_STEP_* */
  uint8_t end;  /* LTP_END_*: not NONE exactly for ENDED */
  uint8_t known; /* RELEASED: 1, whoever had it says that it was not carried out; 0, its lease ran out. Else 0 */
  uint16_t attempt; /* of how many so far; 0: none was begun */
  uint16_t reserved_2;
  uint64_t ticket;
  uint64_t unix_ns;
  uint64_t until_unix_ns; /* BEGUN: the lease's end; RELEASED: not before; else 0 */
} ltp_deferral_step;

/* Lane 0: a segment begins, or is full. */
typedef struct ltp_deferral_mark {
  uint8_t kind;    /* LTP_DEFERRAL_SEGMENT or _SEALED */
  uint8_t version; /* LTP_DEFERRAL_VERSION */
  uint8_t reserved[6];
  uint64_t next_number; /* of the next intent */
  uint64_t unix_ns;
  uint64_t reserved_2;
} ltp_deferral_mark;

LTP_STATIC_ASSERT(sizeof(ltp_deferral_intent) == 5 * LTP_SLOT_BYTES, deferral_intent_size);
LTP_STATIC_ASSERT(sizeof(ltp_deferral_step) == LTP_SLOT_BYTES, deferral_step_size);
LTP_STATIC_ASSERT(sizeof(ltp_deferral_mark) == LTP_SLOT_BYTES, deferral_mark_size);

#ifdef __cplusplus
}
#endif

#endif /* LTP_DEFERRAL_H */
