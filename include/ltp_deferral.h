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
#define LTP_DEFERRAL_SEGMENT ((uint8_t)3) /* 2 slots, lane 0: first record of each segment */
#define LTP_DEFERRAL_SEALED ((uint8_t)4)  /* 2 slots, lane 0: last record of a full segment */
#define LTP_DEFERRAL_ENDED ((uint8_t)6)   /* 3 slots: an intent that has ended, and is remembered */
#define LTP_DEFERRAL_HANDS_OUT ((uint8_t)7) /* 2 slots, lane 0: from here on the run hands intents out; none before it is on disk */
#define LTP_DEFERRAL_OPENED ((uint8_t)5)  /* 2 slots, lane 0: a run of the core began, in a segment that had begun before */

/* An intent is kept. Its ticket: its number in the log (40 bits) and its place in the table of pending intents (24 bits), so that
 * a ticket that was never given, or is not pending any more, is known without a table of tickets. */

#define LTP_TICKET_RUN_STEP 65536 /* numbers that each opening leaves out: what was given before a crash and did not get to disk is not given again */
#define LTP_INTENT_MOVED ((uint8_t)1)   /* a copy, of an intent that the log held before */
#define LTP_INTENT_MAYBE ((uint8_t)2)   /* it may have happened: it was begun, and nobody has said that it was not carried out */
#define LTP_INTENT_NEEDS_HELLO ((uint8_t)4) /* its class asks for continuity: its session has to shake hands before it is replayed */
typedef struct ltp_deferral_intent {
  uint8_t kind;           /* LTP_DEFERRAL_INTENT */
  uint8_t condition;      /* LTP_COMMITMENT_* */
  uint16_t attempts_max;  /* at least 1 */
  uint32_t payload_bytes; /* at least 1; the payload follows this structure, zeros up to a whole slot */
  uint64_t ticket;
  uint8_t key[16];        /* the idempotency key; all zero: session and frame id are the key */
  uint64_t kept_unix_ns;
  uint64_t expires_unix_ns; /* every intent has an end */
  uint16_t attempts;        /* begun so far: not 0 only in a copy, to which it was moved from a segment that was given back */
  uint8_t flags;            /* LTP_INTENT_* */
  uint8_t reserved[5];
  uint64_t not_before_unix_ns;
  ltp_route_request request;
  uint8_t content_hash[LTP_HASH_BYTES]; /* SHA-256 of the payload */
} ltp_deferral_intent;

/* An intent that has ended and is remembered, without its payload: written when its segment is given back. */
typedef struct ltp_deferral_ended {
  uint8_t kind; /* LTP_DEFERRAL_ENDED */
  uint8_t end;  /* LTP_END_*; NONE: carried out */
  uint8_t action_class;
  uint8_t derived; /* 1: the key is frame id and session id */
  uint32_t payload_bytes;
  uint64_t ticket;
  uint64_t key_low;
  uint64_t key_high;
  uint64_t session_id;
  uint64_t content; /* the first 8 bytes of the payload's SHA-256 */
  uint64_t ended_unix_ns;
  uint16_t attempts;
  uint8_t reserved[38];
} ltp_deferral_ended;

typedef struct ltp_deferral_step {
  uint8_t kind; /* LTP_DEFERRAL_STEP */
  uint8_t step; /* LTP_STEP_* */
  uint8_t end;  /* LTP_END_*: not NONE exactly for ENDED */
  uint8_t known; /* RELEASED: 1, whoever had it says that it was not carried out; 0, its lease ran out. Else 0 */
  uint16_t attempt; /* of how many so far; 0: none was begun */
  uint16_t reserved_2;
  uint64_t ticket;
  uint64_t unix_ns;
  uint64_t until_unix_ns; /* BEGUN: the lease's end; RELEASED: not before, 0 with known 0: an operator made it due; else 0 */
} ltp_deferral_step;

/* Lane 0: a segment begins, or is full, or a run begins. In the header of each block, orientation_word is how many blocks of the trace were
 * durable when it was sealed: a trace that has fewer is an older copy than this log. */
typedef struct ltp_deferral_mark {
  uint8_t kind;    /* LTP_DEFERRAL_SEGMENT, _SEALED, _OPENED or _HANDS_OUT */
  uint8_t version; /* LTP_DEFERRAL_VERSION */
  uint8_t hands_out; /* 1: this run may have handed intents out before this mark, or does from here on */
  uint8_t reserved[5];
  uint64_t next_number; /* of the next intent that comes to disk */
  uint64_t unix_ns;
  uint64_t sequence;        /* slots of the log's lane so far */
  uint8_t trace_log_id[16]; /* of the trace that this log belongs to */
  uint64_t maybe_below; /* pending intents with lower numbers may have happened: a run that handed intents out ended in a crash */
  uint8_t reserved_2[8];
} ltp_deferral_mark;

LTP_STATIC_ASSERT(sizeof(ltp_deferral_intent) == 5 * LTP_SLOT_BYTES, deferral_intent_size);
LTP_STATIC_ASSERT(sizeof(ltp_deferral_ended) == 3 * LTP_SLOT_BYTES, deferral_ended_size);
LTP_STATIC_ASSERT(sizeof(ltp_deferral_step) == LTP_SLOT_BYTES, deferral_step_size);
LTP_STATIC_ASSERT(sizeof(ltp_deferral_mark) == 2 * LTP_SLOT_BYTES, deferral_mark_size);

#ifdef __cplusplus
}
#endif

#endif /* LTP_DEFERRAL_H */
