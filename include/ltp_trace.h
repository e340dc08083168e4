/* SPDX-License-Identifier: Apache-2.0
 *
 * ltp_trace.h: what a trace holds on disk. An auditor needs this header and SHA-256, nothing else.
 *
 * A trace is a directory of segments. A segment is a run of blocks, each starting on a 4 KiB boundary. A block
 * is a header and a body of 32-byte slots, all written by one lane, padded with zeros to 4 KiB. Lane 0 is the
 * control lane: the writer's own. Blocks are chained by hash over the whole log, and each lane's slots are
 * numbered without a gap.
 */
#ifndef LTP_TRACE_H
#define LTP_TRACE_H

#include "ltp.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LTP_TRACE_VERSION 3
#define LTP_TRACE_PAGE_BYTES 4096
#define LTP_SLOT_BYTES 32
#define LTP_BLOCK_HEADER_BYTES 256
#define LTP_BLOCK_HASHED_BYTES 224 /* of the header: what block_hash covers */
#define LTP_HASH_BYTES 32
#define LTP_HASH_SHA256 ((uint8_t)1)
#define LTP_BLOCK_MAGIC ((uint64_t)0x314B434F4C425054) /* the bytes "TPBLOCK1" */
#define LTP_CONTROL_LANE ((uint32_t)0)

/* Segment n is named "%016x.ltp" with n in lower-case hexadecimal; one being prepared ends in ".tmp". */
#define LTP_SEGMENT_NAME_BYTES 20
#define LTP_WATERMARK_NAME "durable"

typedef struct ltp_block_header {
  uint64_t magic;
  uint8_t version;        /* LTP_TRACE_VERSION */
  uint8_t hash_id;        /* LTP_HASH_* */
  uint16_t header_bytes;  /* sizeof(ltp_block_header) */
  uint32_t lane_id;
  uint8_t log_id[16];     /* random, the same in every block of a log */
  uint64_t block_index;   /* 0, 1, 2, ... over the whole log */
  uint64_t segment_index; /* of the segment that holds it */
  uint64_t first_sequence; /* of the lane: number of the body's first slot */
  uint32_t slot_count;    /* 32-byte slots in the body, at least 1 */
  uint32_t size_bytes;    /* whole block: header, body, zeros up to a page */
  uint64_t base_monotonic_ns; /* record times count from here */
  uint64_t base_unix_ns;
  uint64_t orientation_word;  /* that the lane's first record was decided under; 0 in control blocks */
  uint64_t durable_blocks;    /* blocks 0 .. durable_blocks-1 were known durable when this one was sealed */
  uint64_t limits_word;       /* the same: LTP_LIMITS_WORD_* */
  uint8_t reserved[56];
  uint8_t previous_hash[LTP_HASH_BYTES]; /* block_hash of block_index-1; zeros in block 0 */
  uint8_t body_hash[LTP_HASH_BYTES];     /* of slot_count * 32 bytes */
  uint8_t block_hash[LTP_HASH_BYTES];    /* of this header up to this field */
} ltp_block_header;

LTP_STATIC_ASSERT(offsetof(ltp_block_header, reserved) == 104, block_header_reserved_offset);
LTP_STATIC_ASSERT(offsetof(ltp_block_header, block_hash) == 224, block_header_hash_offset);
LTP_STATIC_ASSERT(sizeof(ltp_block_header) == 256, block_header_size);

/* The orientation word: one atomic load tells a lane all that a decision needs. Zero is UNKNOWN. */
#define LTP_WORD_STATE_SHIFT 0       /* 4 bits */
#define LTP_WORD_POLICY_SLOT_SHIFT 4 /* 2 bits */
#define LTP_WORD_THRESHOLD_SHIFT 6   /* 8 bits */
#define LTP_WORD_CONTINUITY_SHIFT 14 /* 16 bits: the low ones of the continuity epoch */
#define LTP_WORD_SCOPE_SHIFT 30      /* 2 bits: LTP_SCOPE_* */
#define LTP_WORD_EPOCH_SHIFT 32      /* 32 bits: the low ones of the epoch */
#define LTP_WORD_CONTINUITY_MASK 0xFFFFu

/* The continuity epoch counts for the whole core: each move gets the next number. The epoch of a domain is the number of the last move
 * that concerned it. Whom the transition concerned that brought the word: */
#define LTP_CONTINUITY_RUN_STEP 8293 /* by so much a run's first transition moves it on, any other by one or not at all: what a run before
                                        gave out and did not get to disk must not be given out again. More transitions never wait; and odd, so
                                        that the low 8 bits, which a token tells, are not those of the runs before */
#define LTP_SCOPE_NONE ((uint8_t)0)   /* nobody's continuity moved */
#define LTP_SCOPE_ALL ((uint8_t)1)    /* that of every domain moved */
#define LTP_SCOPE_DOMAIN ((uint8_t)2) /* one domain: its continuity may have moved, its outage begun or ended; the state stays */

/* What the limits, adjusted once a window, add to the orientation. */
#define LTP_LIMITS_WORD_SHED_SHIFT 0         /* 16 bits: priority * 256 + cohort below it is shed */
#define LTP_LIMITS_WORD_RETRY_SHIFT 16       /* 22 bits: least retry_after in ms, before it is spread */
#define LTP_LIMITS_WORD_CONCURRENCY_SHIFT 38 /* 16 bits: the concurrency limit; 0: none */
#define LTP_LIMITS_WORD_CONTENDED_SHIFT 54   /* 1 bit: something is refused, so tenants keep to their share */

/* What a slot holds; its first byte: lanes' records are numbered below 16, control records from 16 on. A record of several
 * slots starts with its kind and slot_count. */
#define LTP_RECORD_DECISION ((uint8_t)1)     /* 1 slot, lanes */
#define LTP_RECORD_REPLAY ((uint8_t)2)       /* 1 slot, lanes: belongs to the decision before it */
#define LTP_RECORD_OBSERVED ((uint8_t)3)     /* 1 slot, lanes: the lane saw a new orientation word */
#define LTP_RECORD_UNRECORDED ((uint8_t)4)   /* 1 slot, lanes: denials that have no record of their own, by reason */
#define LTP_RECORD_HELLO ((uint8_t)5)        /* 1 slot, lanes */
#define LTP_RECORD_TIME ((uint8_t)6)         /* 1 slot, lanes: times count from this base from here on */
#define LTP_RECORD_TENANT ((uint8_t)7)       /* 1 slot, lanes: belongs to the decision before it, which a limit refused */
#define LTP_RECORD_VOIDED ((uint8_t)8)       /* 1 slot, lanes: every life of a session so far */
#define LTP_RECORD_KEPT ((uint8_t)9)         /* 1 slot, lanes: belongs to the decision before it: what became of its intent */
#define LTP_RECORD_OPENED ((uint8_t)16)      /* 4 slots, control: a run of the core began */
#define LTP_RECORD_SEGMENT ((uint8_t)17)     /* 4 slots, control: first record of each segment */
#define LTP_RECORD_TRANSITION ((uint8_t)18)  /* 8 slots, control */
#define LTP_RECORD_POLICY ((uint8_t)19)      /* 504 slots, control: all of the smallest block */
#define LTP_RECORD_TEXT ((uint8_t)20)        /* 4 slots, control */
#define LTP_RECORD_SEALED ((uint8_t)21)      /* 2 slots, control: last record of a full segment */
#define LTP_RECORD_CLOSED ((uint8_t)22)      /* 2 slots, control: the core was closed in order */
#define LTP_RECORD_COUNTS ((uint8_t)23)      /* 8 slots, control: what a full segment holds, directly before SEALED */
#define LTP_RECORD_DOMAINS ((uint8_t)24)     /* 8 slots, control: after SEGMENT: domains that are not like all */
#define LTP_RECORD_INTENT ((uint8_t)25)      /* 4 slots, control: an intent is kept, durably, in the deferral log */
#define LTP_RECORD_STEP ((uint8_t)26)        /* 2 slots, control: what became of a kept intent, as the deferral log has it */
#define LTP_RECORD_DEFERRAL ((uint8_t)27)    /* 4 slots, control: the deferral log beside this one, and how far it has been told here */

/* A decision's outcome: its verdict in the upper two bits, its reason (63 at most) in the lower six. */
#define LTP_OUTCOME_VERDICT_SHIFT 6
#define LTP_OUTCOME_REASON_MASK ((uint8_t)63)

/* Facts that went into a decision beside the record's own fields. 128 is kept for slots that tell the route chosen. */
#define LTP_INPUT_CONTINUITY_MASK ((uint16_t)7) /* LTP_CONTINUITY_* */
#define LTP_INPUT_DEADLINE_EXCEEDED ((uint16_t)8)
#define LTP_INPUT_MALFORMED ((uint16_t)16)
#define LTP_INPUT_REPLAY ((uint16_t)32) /* a LTP_RECORD_REPLAY slot follows ... */
#define LTP_INPUT_TENANT ((uint16_t)64) /* ... and after it, or alone, a LTP_RECORD_TENANT slot */
#define LTP_INPUT_KEPT ((uint16_t)256)  /* ... and last a LTP_RECORD_KEPT slot */
#define LTP_INPUT_OTHER_INCARNATION ((uint16_t)512) /* not of the life that its connection is bound to */
#define LTP_INPUT_GATE_SHIFT 12 /* the upper four bits: LTP_GATE_*, the limit that refused what the table would EXECUTE */
#define LTP_INPUTS_ALL ((uint16_t)0xF37F)

/* Whether the request proved that its session shook hands since the last outage. Bit 0 alone says that it did. */
#define LTP_CONTINUITY_NOT_ASKED ((uint16_t)0) /* the rule did not ask */
#define LTP_CONTINUITY_VALID ((uint16_t)1)
#define LTP_CONTINUITY_STALE ((uint16_t)2)  /* the token is good; the intent was made in an epoch before */
#define LTP_CONTINUITY_NONE ((uint16_t)4)   /* no token, or that of an epoch before */
#define LTP_CONTINUITY_FORGED ((uint16_t)6) /* a token that no epoch of this run granted */

/* Numbers up to 15. */
#define LTP_GATE_NONE ((uint8_t)0)
#define LTP_GATE_SHED ((uint8_t)1)        /* priority and cohort below the limits word's level */
#define LTP_GATE_CLASS_RATE ((uint8_t)2)
#define LTP_GATE_TENANT_RATE ((uint8_t)3)
#define LTP_GATE_TOTAL_RATE ((uint8_t)4)
#define LTP_GATE_RECOVERING_RATE ((uint8_t)5)
#define LTP_GATE_CONCURRENCY ((uint8_t)6)
#define LTP_GATE_COUNT 7

typedef struct ltp_decision_record {
  uint8_t kind; /* LTP_RECORD_DECISION */
  uint8_t outcome; /* LTP_OUTCOME_* */
  uint16_t inputs; /* LTP_INPUT_* */
  uint8_t action_class;
  uint8_t domain;
  uint8_t priority;
  uint8_t cohort;
  uint32_t time_us; /* since the block's base */
  uint32_t retry_and_shadow; /* retry_after_ms in the lower 23 bits, bit 23 zero; a shadow policy's outcome in the upper 8, 0: none */
  uint64_t frame_id;
  uint64_t session_id;
} ltp_decision_record;

#define LTP_DECISION_RETRY_MASK 0x7FFFFFu
#define LTP_DECISION_SHADOW_SHIFT 24

typedef struct ltp_replay_record {
  uint8_t kind; /* LTP_RECORD_REPLAY */
  uint8_t reserved[7];
  uint64_t original_frame_id;
  uint64_t frame_id; /* of the decision before it */
  uint64_t original_session_id; /* whose intent LTP_SESSION_REPLAY acts for; 0: the decision's own session */
} ltp_replay_record;

typedef struct ltp_observed_record {
  uint8_t kind; /* LTP_RECORD_OBSERVED */
  uint8_t reserved[7];
  uint32_t time_us;
  uint32_t policy_generation;
  uint64_t orientation_word;
  uint64_t limits_word;
} ltp_observed_record;

typedef struct ltp_unrecorded_record {
  uint8_t kind; /* LTP_RECORD_UNRECORDED */
  uint8_t reason; /* LTP_REASON_*: why they were denied */
  uint8_t reserved[6];
  uint32_t time_us;
  uint32_t reserved_2;
  uint64_t denied_count; /* since the lane's record of this reason before */
  uint64_t reserved_3;
} ltp_unrecorded_record;

typedef struct ltp_tenant_record {
  uint8_t kind; /* LTP_RECORD_TENANT */
  uint8_t reserved[3];
  uint32_t tenant_id; /* not 0 */
  uint32_t cost;      /* of the request */
  uint32_t reserved_2;
  uint64_t frame_id; /* of the decision before it */
  uint64_t reserved_3;
} ltp_tenant_record;

/* result LTP_KEPT_NEW, _FULL, _LATER: the table and the limits said DEFER, or, with LTP_KEPT_BEHIND, EXECUTE or DEFER. Any other: neither
 * was asked. */
typedef struct ltp_kept_record {
  uint8_t kind; /* LTP_RECORD_KEPT */
  uint8_t result; /* LTP_KEPT_* */
  uint8_t end;    /* with LTP_KEPT_ENDED: LTP_END_*, NONE: it was carried out */
  uint8_t behind; /* 1: it is kept only because an earlier intent of its session is pending */
  uint32_t payload_bytes;
  uint64_t ticket; /* 0 where there is none */
  uint64_t frame_id; /* of the decision before it */
  uint64_t content;  /* the first 8 bytes of the payload's SHA-256 */
} ltp_kept_record;

typedef struct ltp_hello_record {
  uint8_t kind; /* LTP_RECORD_HELLO */
  uint8_t domain;
  uint16_t node_id; /* 0 when the frame's is no text id (LTP_TEXT_COUNT_MAX) */
  uint32_t continuity_epoch; /* of the domain */
  uint32_t time_us;
  uint32_t incarnation; /* that begins */
  uint64_t frame_id;
  uint64_t session_id;
} ltp_hello_record;

typedef struct ltp_voided_record {
  uint8_t kind; /* LTP_RECORD_VOIDED */
  uint8_t reserved[7];
  uint32_t time_us;
  uint32_t reserved_2;
  uint64_t session_id;
  uint64_t reserved_3;
} ltp_voided_record;

/* A block's time offsets have 32 bits; a lane that fills one for longer than an hour moves the base on. */
typedef struct ltp_time_record {
  uint8_t kind; /* LTP_RECORD_TIME */
  uint8_t reserved[7];
  uint64_t base_monotonic_ns;
  uint64_t base_unix_ns;
  uint64_t reserved_2;
} ltp_time_record;

/* The first bytes of each record of several slots. */
typedef struct ltp_control_header {
  uint8_t kind;
  uint8_t reserved;
  uint16_t slot_count;
  uint32_t time_us; /* since the block's base */
} ltp_control_header;

typedef struct ltp_opened_record {
  ltp_control_header header;
  uint32_t run; /* 1, 2, 3, ...: how often this log was opened for writing */
  uint32_t next_lane_id; /* lanes of this run are numbered from here */
  uint64_t process_id;
  uint64_t cut_segment; /* a torn tail was cut here, with a copy kept beside it ... */
  uint64_t cut_offset;
  uint64_t cut_bytes;   /* ... 0: none */
  uint8_t reserved[80];
} ltp_opened_record;

typedef struct ltp_segment_record {
  ltp_control_header header;
  uint32_t run;
  uint32_t next_lane_id;
  uint64_t segment_bytes;    /* limit of this segment */
  uint64_t orientation_word; /* current when it began */
  uint32_t policy_generation;
  uint32_t block_bytes;
  uint64_t epoch;            /* of orientation_word, in full */
  uint64_t continuity_epoch; /* the same */
  uint64_t continuity_all;   /* the number of the last move of every domain; at most continuity_epoch */
  uint8_t reserved[64];
} ltp_segment_record;

#define LTP_DOMAINS_ENTRIES 15

/* A domain that has moved since all did, or is in an outage of its own. */
typedef struct ltp_domains_entry {
  uint64_t continuity_epoch; /* of the domain, in full; 0 in an entry that is not used, which is all zeros */
  uint8_t domain;
  uint8_t state; /* LTP_STATE_UNSTABLE: in an outage of its own; 0: in none */
  uint8_t reserved[6];
} ltp_domains_entry;

/* As many as are needed, after SEGMENT and the transition that it repeats; each domain at most once, in rising order. */
typedef struct ltp_domains_record {
  ltp_control_header header;
  uint32_t entry_count; /* used: 1 to LTP_DOMAINS_ENTRIES */
  uint32_t reserved;
  ltp_domains_entry entries[LTP_DOMAINS_ENTRIES];
} ltp_domains_record;

#define LTP_TRANSITION_REPEATED ((uint8_t)1) /* said again at the start of a segment */

typedef struct ltp_transition_record {
  ltp_control_header header;
  uint64_t word_before;
  uint64_t word_after;
  uint64_t time_monotonic_ns;
  uint32_t policy_generation; /* of word_after */
  uint8_t reason;             /* LTP_SIGNAL_* */
  uint8_t evidence_count;
  uint8_t flags;              /* LTP_TRANSITION_REPEATED */
  uint8_t domain;             /* with LTP_SCOPE_DOMAIN in word_after, else 0 */
  ltp_evidence evidence[LTP_EVIDENCE_MAX];
  uint64_t epoch;             /* of word_after, in full; its low 32 bits are never all zero */
  uint64_t continuity_epoch;  /* the same */
  uint8_t domain_state;       /* with LTP_SCOPE_DOMAIN: LTP_STATE_UNSTABLE, it is in an outage of its own from here on; 0: it is in none */
  uint8_t reserved_2[7];
  char text[LTP_TRANSITION_TEXT_BYTES];
} ltp_transition_record;

#define LTP_POLICY_SHADOW ((uint32_t)256)

typedef struct ltp_policy_record {
  ltp_control_header header;
  uint32_t policy_generation;
  uint32_t policy_slot; /* with LTP_POLICY_SHADOW: the shadow of the policy before it */
  uint8_t digest[LTP_HASH_BYTES]; /* of policy, by hash_id */
  uint8_t hash_id; /* LTP_HASH_* */
  uint8_t reserved[15];
  ltp_policy policy;
} ltp_policy_record;

typedef struct ltp_text_record {
  ltp_control_header header;
  uint32_t text_id;
  char text[LTP_TEXT_BYTES_MAX + 1];
} ltp_text_record;

/* Every class that no policy can name, LTP_CLASS_COUNT to 0xFE, counts as this one: a client chooses the classes that it
 * sends, and must not make the summary longer with each of them. */
#define LTP_COUNTS_CLASS_UNKNOWN ((uint8_t)0xFE)

/* So many decisions of the segment were alike in all of these. */
typedef struct ltp_counts_entry {
  uint64_t count;        /* at least 1; 0 in an entry that is not used, which is all zeros */
  uint8_t action_class;  /* below LTP_CLASS_COUNT, or LTP_COUNTS_CLASS_UNKNOWN, or LTP_CLASS_NONE */
  uint8_t domain;
  uint8_t state;         /* LTP_STATE_*: of the word that the lane decided under */
  uint8_t outcome;       /* LTP_OUTCOME_* */
  uint8_t gate;          /* LTP_GATE_*: the limit that refused */
  uint8_t reserved[3];
} ltp_counts_entry;

#define LTP_COUNTS_ENTRIES 15

/* A full segment's last block holds as many of these as its entries need, then SEALED. No two entries of a segment are alike
 * in class, domain, state, outcome and gate; only the last record has entries that are not used, and they come last. */
typedef struct ltp_counts_record {
  ltp_control_header header;
  uint32_t entry_count; /* used: 1 to LTP_COUNTS_ENTRIES */
  uint32_t reserved;
  ltp_counts_entry entries[LTP_COUNTS_ENTRIES];
} ltp_counts_record;

/* What a segment says of itself. Times are of decisions: what the lane's base and time_us come to on the wall clock, which may go
 * back; both are 0 in a segment without decisions. */
typedef struct ltp_sealed_record {
  ltp_control_header header;
  uint64_t block_count; /* in this segment, this one included */
  uint64_t decision_count; /* in this segment */
  uint64_t first_unix_ns; /* the smallest time of a decision ... */
  uint64_t last_unix_ns;  /* ... and the greatest */
  uint64_t transition_count; /* without those that are said again */
  uint64_t unrecorded_count; /* denials that UNRECORDED records tell */
  uint32_t counts_entries; /* used entries in the COUNTS records before it */
  uint32_t reserved;
} ltp_sealed_record;

typedef struct ltp_closed_record {
  ltp_control_header header;
  uint64_t decision_count; /* in this run */
  uint64_t unrecorded_count; /* in this run: denied with LTP_REASON_TRACE_BACKPRESSURE */
  uint8_t reserved[40];
} ltp_closed_record;

#define LTP_TICKET_SLOT_BITS 24 /* a ticket: the intent's number in the deferral log above, below a place that is used again */

/* What the deferral log says, record by record and in its order, each once it is durable there. The sequence is that of the record's end in the
 * deferral log's lane, so it only grows, over restarts as well. */
typedef struct ltp_intent_record {
  ltp_control_header header;
  uint64_t sequence;
  uint64_t ticket;
  uint64_t frame_id; /* of the request, as first sent */
  uint64_t session_id;
  uint64_t kept_unix_ns;
  uint64_t expires_unix_ns;
  uint8_t key[16]; /* the idempotency key; all zero: session and frame id are */
  uint32_t payload_bytes;
  uint16_t attempts_max;
  uint8_t action_class;
  uint8_t condition; /* LTP_COMMITMENT_* */
  uint8_t moved;     /* 1: said again: its record was copied to the end of the deferral log */
  uint8_t reserved;
  uint16_t attempts; /* moved 1: handed out so often by then. Else 0 */
  uint8_t reserved_2[12];
  uint8_t content_hash[LTP_HASH_BYTES]; /* SHA-256 of the payload, which lies in the deferral log alone */
} ltp_intent_record;

#define LTP_STEP_BEGUN ((uint8_t)1)     /* handed to a worker, until when */
#define LTP_STEP_COMMITTED ((uint8_t)2) /* carried out */
#define LTP_STEP_RELEASED ((uint8_t)3)  /* given back, not carried out; not before when. known 0, until 0: nobody had it, an operator made it due */
#define LTP_STEP_ENDED ((uint8_t)4)     /* it will not be carried out; why */
#define LTP_STEP_COUNT 5

typedef struct ltp_step_record {
  ltp_control_header header;
  uint64_t sequence;
  uint64_t ticket;
  uint64_t unix_ns;
  uint64_t until_unix_ns; /* BEGUN: the lease's end; RELEASED: not before; else 0 */
  uint8_t step;           /* LTP_STEP_* */
  uint8_t end;            /* LTP_END_*: not NONE exactly for ENDED */
  uint8_t known;          /* RELEASED: 1, whoever had it says that it was not carried out; 0, its lease ran out. Else 0 */
  uint8_t reserved;
  uint16_t attempt;       /* of how many so far; 0: none was begun */
  uint8_t reserved_2[18];
} ltp_step_record;

#define LTP_DEFERRAL_OPENED_HERE ((uint8_t)1) /* at the start of a run */
#define LTP_DEFERRAL_GOES_ON ((uint8_t)2)     /* at the start of a segment */
#define LTP_DEFERRAL_CLOSED_HERE ((uint8_t)3) /* before CLOSED; and at the start of a segment of a run that does without the log */

/* Of the runs before OPENED_HERE: an intent that a KEPT record gives a ticket numbered next_number or higher never was durable, and its
 * sender was never told that it was. */
typedef struct ltp_deferral_record {
  ltp_control_header header;
  uint8_t log_id[16];    /* of the deferral log */
  uint64_t sequence;     /* the records before tell all that it holds below this */
  uint64_t next_number;  /* of the next intent's ticket */
  uint64_t pending_count; /* intents that were told and have no end yet, as of sequence */
  uint64_t ended_count;  /* since OPENED_HERE, those that ended: as of sequence */
  uint64_t end_sequence; /* OPENED_HERE: of the log then; what is told up to there is of runs before, whose leases are over. Else 0 */
  uint8_t what;          /* LTP_DEFERRAL_* */
  uint8_t reserved[7];
  uint64_t proof_sequence; /* each pending intent has an INTENT record whose sequence is above this: segments that tell nothing above it may go */
  uint8_t reserved_2[48];
} ltp_deferral_record;

LTP_STATIC_ASSERT(sizeof(ltp_decision_record) == 32, decision_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_replay_record) == 32, replay_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_observed_record) == 32, observed_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_unrecorded_record) == 32, unrecorded_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_tenant_record) == 32, tenant_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_kept_record) == 32, kept_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_hello_record) == 32, hello_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_voided_record) == 32, voided_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_time_record) == 32, time_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_control_header) == 8, control_header_size);
LTP_STATIC_ASSERT(sizeof(ltp_opened_record) == 4 * 32, opened_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_segment_record) == 4 * 32, segment_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_domains_entry) == 16, domains_entry_size);
LTP_STATIC_ASSERT(sizeof(ltp_domains_record) == 8 * 32, domains_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_transition_record) == 8 * 32, transition_record_size);
LTP_STATIC_ASSERT(offsetof(ltp_policy_record, policy) == 64, policy_record_offset);
LTP_STATIC_ASSERT(sizeof(ltp_policy_record) == 504 * 32, policy_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_text_record) == 4 * 32, text_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_counts_entry) == 16, counts_entry_size);
LTP_STATIC_ASSERT(sizeof(ltp_counts_record) == 8 * 32, counts_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_sealed_record) == 2 * 32, sealed_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_closed_record) == 2 * 32, closed_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_intent_record) == 4 * 32, intent_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_step_record) == 2 * 32, step_record_size);
LTP_STATIC_ASSERT(sizeof(ltp_deferral_record) == 4 * 32, deferral_record_size);

/* The file "durable": how much of the log has been acknowledged. Written after each completed sync, before
 * anyone is told; after a crash it may lag behind the log, and never runs ahead of it. */
#define LTP_WATERMARK_MAGIC ((uint64_t)0x314B52414D525444) /* the bytes "DTRMARK1" */
typedef struct ltp_watermark {
  uint64_t magic;
  uint8_t version; /* LTP_TRACE_VERSION */
  uint8_t hash_id; /* LTP_HASH_* */
  uint8_t reserved[6];
  uint8_t log_id[16];
  uint64_t durable_blocks; /* blocks 0 .. durable_blocks-1 */
  uint8_t reserved_2[56];
  uint8_t hash[LTP_HASH_BYTES]; /* of the bytes before: a power loss may leave garbage here */
} ltp_watermark;
LTP_STATIC_ASSERT(sizeof(ltp_watermark) == 128, watermark_size);

#ifdef __cplusplus
}
#endif

#endif /* LTP_TRACE_H */
