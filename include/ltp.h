/* SPDX-License-Identifier: Apache-2.0
 *
 * ltp.h: the LTP admission core's contract.
 *
 * A service keeps one orientation (its overload state, with the evidence for it). Each intent arrives as a
 * route_request frame; ltp_admit() answers with a verdict, and the verdict's record is in the trace before
 * the call returns. This header is the one definition of frames, constants, status codes and functions;
 * ltp_trace.h defines what is on disk, docs/FORMAT.md explains both byte by byte.
 *
 * Conventions
 *   - Little-endian, naturally aligned, reserved bytes zero. Sizes are asserted at the end of each part.
 *   - Structures hold fixed-width integers only; constants are macros.
 *   - Every options structure starts with struct_size. Fill it in with its ltp_*_init() function.
 *   - A function returns LTP_OK (0) or a status; ltp_status_text() says it in words. Functions that can fail
 *     for reasons worth telling also take an ltp_error, which may be NULL.
 *   - Zeroed memory fails closed: state 0 is UNKNOWN, verdict 0 is DENY.
 *   - Times are nanoseconds. "monotonic" is CLOCK_MONOTONIC, "unix" is CLOCK_REALTIME.
 *   - Threads: a lane belongs to one thread at a time. Everything else may be called from any thread, also while
 *     another thread closes the handle: the call is finished first, or refused.
 *   - A handle that was closed answers LTP_ERROR_BAD_HANDLE for good, whatever was opened after it.
 *   - What a function is given is copied before it is checked, so that a structure which another thread or process
 *     changes meanwhile counts as it was found once. ltp_admit() and ltp_admit_batch() alone read in place.
 *     No function is async-signal-safe. After fork() the child's handles answer LTP_ERROR_BAD_HANDLE.
 */
#ifndef LTP_H
#define LTP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__cplusplus)
#define LTP_STATIC_ASSERT(condition, name) static_assert(condition, #name)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define LTP_STATIC_ASSERT(condition, name) _Static_assert(condition, #name)
#else
#define LTP_STATIC_ASSERT(condition, name) typedef char ltp_assert_##name[(condition) ? 1 : -1]
#endif

/* ---- Versions ---------------------------------------------------------------------------------------- */

#define LTP_ABI_VERSION 3      /* of this header: functions and structures */
#define LTP_PROTOCOL_VERSION 2 /* of the frames */

/* The ABI version that the library was built for; differs from LTP_ABI_VERSION when header and library do. */
uint32_t ltp_abi_version(void);
/* The library's version as text, for example "0.1.0". Static storage. */
const char *ltp_version_string(void);

/* ---- Status codes ------------------------------------------------------------------------------------ */

#define LTP_OK 0
/* The caller's mistakes. */
#define LTP_ERROR_NULL_ARGUMENT 1
#define LTP_ERROR_STRUCT_SIZE 2     /* struct_size is too small, or its unknown tail is not zero */
#define LTP_ERROR_OPTION_RANGE 3    /* an option is outside its range; the message names it */
#define LTP_ERROR_BAD_HANDLE 4      /* not a handle, closed already, or used in a child after fork() */
#define LTP_ERROR_LANES_MAX 5       /* options.lanes_max lanes are open already */
#define LTP_ERROR_LANES_OPEN 6      /* close each lane first; the core denies everything meanwhile */
#define LTP_ERROR_CLOSING 7         /* the core is closing, or another thread closes it just now */
#define LTP_ERROR_TIMED_OUT 8
#define LTP_ERROR_NO_MEMORY 9
#define LTP_ERROR_THREAD 10         /* a background thread could not be started */
#define LTP_ERROR_TEXT_TOO_LONG 11
#define LTP_ERROR_TEXTS_MAX 12      /* the text registry is full */
#define LTP_ERROR_UNKNOWN_STATE 13
#define LTP_ERROR_UNKNOWN_SIGNAL 14
#define LTP_ERROR_EVIDENCE_COUNT 15
#define LTP_ERROR_EXHAUSTED 16      /* a number that must not repeat has run out (lanes, policies or runs of a log): start a new log */
#define LTP_ERROR_BACKPRESSURE 17   /* the trace cannot take it now; nothing was changed, try again */
#define LTP_ERROR_SEQUENCE_AHEAD 18 /* the sequence to wait for has not been issued yet */
#define LTP_ERROR_BUFFER_TOO_SMALL 19
#define LTP_ERROR_IN_USE 20         /* another thread is in a call with this handle, or polls */
#define LTP_ERROR_OBSERVING 22       /* this core orients itself: push signals, or force a state */
#define LTP_ERROR_NOT_OBSERVING 23   /* this core does not orient itself: opened without signal rules, its own or a policy's */
#define LTP_ERROR_SIGNAL_RULES 24    /* the rules are malformed; the message says which signal's and why */
#define LTP_ERROR_SIGNAL_VALUE 25    /* a value below zero */
#define LTP_ERROR_THROTTLED 27       /* the caller's side: do not send it */
#define LTP_ERROR_RETRY_BUDGET 28    /* the caller's side: do not try it again */
#define LTP_ERROR_PRESSURE 26        /* what LTP_OBSERVE_* names cannot be read here */
#define LTP_ERROR_PERMIT 29          /* no such permit is out: released already, expired, or another lane's */
#define LTP_ERROR_HELLO_LATER 30         /* no life is begun now; the answer, which is to be sent, says when to ask again */
#define LTP_ERROR_SESSION_HELD 31        /* the caller's side: the session may not do this now; its phase and not_before_ns say why */
#define LTP_ERROR_SESSION_ANSWER 40      /* the caller's side: no answer to this session's last hello */
#define LTP_ERROR_INTENT_STALE 41        /* the caller's side: the intent was made before an outage */
#define LTP_ERROR_KEY_FILE 42            /* missing, not 16 bytes, all bytes equal, or not this user's alone; the message says which */
#define LTP_ERROR_NOT_HOST_DRIVEN 21 /* this core has threads of its own (no LTP_OPEN_HOST_DRIVEN) */
/* Frames. ltp_frame_error says which field, at which offset. */
#define LTP_ERROR_FRAME_SHORT 32
#define LTP_ERROR_FRAME_MAGIC 33
#define LTP_ERROR_FRAME_VERSION 34
#define LTP_ERROR_FRAME_TYPE 35
#define LTP_ERROR_FRAME_SIZE 36
#define LTP_ERROR_FRAME_FLAGS 37
#define LTP_ERROR_FRAME_RESERVED 38
#define LTP_ERROR_FRAME_RANGE 39
/* Policies. ltp_policy_error says which class in which state. */
#define LTP_ERROR_POLICY_VERSION 48
#define LTP_ERROR_POLICY_CLASS 49    /* a class's name or attributes are malformed */
#define LTP_ERROR_POLICY_RULE 50     /* a rule's fields are out of range or contradict each other */
#define LTP_ERROR_POLICY_NEVER_1 51  /* would EXECUTE a critical action while FAILED */
#define LTP_ERROR_POLICY_NEVER_2 52  /* would waive continuity while RECOVERING */
#define LTP_ERROR_POLICY_NEVER_3 53  /* would let UNKNOWN pass as healthy */
#define LTP_ERROR_POLICY_LIMITS 54   /* a limit is out of range or contradicts another */
/* The trace. ltp_error says where. */
#define LTP_ERROR_TRACE_DIRECTORY 64 /* missing, not a directory, or may not be read */
#define LTP_ERROR_TRACE_READ_ONLY 65
#define LTP_ERROR_TRACE_LOCKED 66    /* another process writes this trace */
#define LTP_ERROR_TRACE_FOREIGN 67   /* a segment of another log lies among this one's */
#define LTP_ERROR_TRACE_VERSION 68   /* written by a format that this library does not know */
#define LTP_ERROR_TRACE_CORRUPT 69   /* a hole or a changed byte where the trace was durable */
#define LTP_ERROR_TRACE_LOST 70      /* records that were acknowledged as durable are gone */
#define LTP_ERROR_TRACE_NO_SPACE 71
#define LTP_ERROR_TRACE_IO 72        /* the system reported an error; the log takes no more records */
#define LTP_ERROR_TRACE_DESCRIPTORS 73 /* no file descriptor left */
#define LTP_ERROR_STORAGE_UNAVAILABLE 74 /* the storage asked for cannot be had here; the message says why */
/* The deferral log. */
#define LTP_ERROR_NO_DEFERRAL 96       /* this core keeps no intents: opened without ltp_core_options.deferral */
#define LTP_ERROR_DEFERRAL_APART 97    /* the deferral log and the trace are not of one time: restored apart, or one of them is missing */
#define LTP_ERROR_PAYLOAD 98           /* no payload, or a larger one than the core keeps */
#define LTP_ERROR_COMMITMENT 99        /* expiry or attempts out of range */
#define LTP_ERROR_TICKET 100           /* no such intent: never given, forgotten, or another log's */
#define LTP_ERROR_INTENT_ENDED 101     /* it has ended already */
#define LTP_ERROR_NOT_YOURS 102        /* somebody else has it by now, or nobody: the lease ran out */
#define LTP_ERROR_NOTHING_DUE 103      /* no intent can be replayed now */
/* The orientation page. */
#define LTP_ERROR_PAGE_FILE 80      /* the system refused the file; system_error says why */
#define LTP_ERROR_PAGE_FORMAT 81    /* not an orientation page: too short, or something else */
#define LTP_ERROR_PAGE_VERSION 82   /* of a version that this library does not know */
#define LTP_ERROR_PAGE_OWNER 83     /* the file belongs to another user */
#define LTP_ERROR_PAGE_WRITABLE 84  /* others than its owner may write the file */
#define LTP_ERROR_PAGE_LOCKED 85    /* another process publishes in this page */
#define LTP_ERROR_PAGE_READ_ONLY 86 /* this handle only reads */
#define LTP_ERROR_PAGE_FOLLOWED 87  /* this core follows an orientation page: publish there */
#define LTP_ERROR_PAGE_UNPUBLISHED 88 /* this handle has published nothing that it could renew */

/* A status in words that say what to do. Static storage, never NULL. */
const char *ltp_status_text(int32_t status);

/* Where and why a call failed. Fields that do not apply are zero. */
typedef struct ltp_error {
  int32_t status;
  int32_t system_error; /* errno */
  uint64_t segment;     /* index of the trace segment */
  uint64_t offset;      /* byte offset in it */
  uint64_t block_index; /* in the log */
  char message[224];    /* one sentence, zero-terminated UTF-8 */
  uint64_t reserved[4];
} ltp_error;

/* ---- States, verdicts, reasons, signals -------------------------------------------------------------- */

#define LTP_STATE_UNKNOWN ((uint8_t)0)
#define LTP_STATE_HEALTHY ((uint8_t)1) /* also called STABLE */
#define LTP_STATE_DEGRADED ((uint8_t)2)
#define LTP_STATE_SATURATED ((uint8_t)3)
#define LTP_STATE_UNSTABLE ((uint8_t)4)
#define LTP_STATE_FAILED ((uint8_t)5)
#define LTP_STATE_RECOVERING ((uint8_t)6)
#define LTP_STATE_COUNT 7

#define LTP_VERDICT_DENY ((uint8_t)0)
#define LTP_VERDICT_DEFER ((uint8_t)1)
#define LTP_VERDICT_EXECUTE ((uint8_t)2)
#define LTP_VERDICT_COUNT 3

#define LTP_REASON_NONE ((uint8_t)0)
#define LTP_REASON_ADMITTED ((uint8_t)1)
#define LTP_REASON_SYSTEM_DEGRADED ((uint8_t)2)
#define LTP_REASON_SYSTEM_SATURATED ((uint8_t)3)
#define LTP_REASON_SYSTEM_UNSTABLE ((uint8_t)4)
#define LTP_REASON_SYSTEM_FAILED ((uint8_t)5)
#define LTP_REASON_SYSTEM_RECOVERING ((uint8_t)6)
#define LTP_REASON_ORIENTATION_UNKNOWN ((uint8_t)7)
#define LTP_REASON_REHANDSHAKE_REQUIRED ((uint8_t)8)
#define LTP_REASON_PRIORITY_BELOW_THRESHOLD ((uint8_t)9)
#define LTP_REASON_RATE_LIMITED ((uint8_t)10)
#define LTP_REASON_CONCURRENCY_LIMITED ((uint8_t)11)
#define LTP_REASON_DEADLINE_EXCEEDED ((uint8_t)12)
#define LTP_REASON_QUORUM_LOST ((uint8_t)13)
#define LTP_REASON_POLICY_FORBIDS ((uint8_t)14)
#define LTP_REASON_TRACE_BACKPRESSURE ((uint8_t)15)
#define LTP_REASON_DEFER_QUEUE_FULL ((uint8_t)16)
#define LTP_REASON_MALFORMED_FRAME ((uint8_t)17)
#define LTP_REASON_UNKNOWN_ACTION_CLASS ((uint8_t)18)
#define LTP_REASON_ALREADY_REPLAYED ((uint8_t)19)
#define LTP_REASON_STALE_INTENT ((uint8_t)20)      /* made before an outage, whatever token it carries now */
#define LTP_REASON_CONTINUITY_FORGED ((uint8_t)21) /* a token that no epoch of this run granted */
#define LTP_REASON_OTHER_INCARNATION ((uint8_t)22) /* not of the session's life that the connection is bound to */
#define LTP_REASON_INTENT_PENDING ((uint8_t)23)  /* DEFER: this intent is kept already, or an earlier one of its session is still pending */
#define LTP_REASON_INTENT_ENDED ((uint8_t)24)    /* DENY: this intent was kept, and ended without being carried out: a new key is a new intent */
#define LTP_REASON_KEY_REUSED ((uint8_t)25)      /* DENY: its key is another intent's: other content, class or session */
#define LTP_REASON_COUNT 26

/* Why the orientation changed: 1 to LTP_OBSERVATION_MAX are observations, the core's own are numbered from LTP_SIGNAL_OWN_FIRST
 * on. A new one of either changes no size and no number of another. */
#define LTP_SIGNAL_NONE ((uint8_t)0)
#define LTP_SIGNAL_CONNECTION_BACKLOG_GROWING ((uint8_t)1)
#define LTP_SIGNAL_WS_RECONNECT_STORM ((uint8_t)2)
#define LTP_SIGNAL_QUEUE_LATENCY_SPIKE ((uint8_t)3)
#define LTP_SIGNAL_MEMORY_PRESSURE ((uint8_t)4)
#define LTP_SIGNAL_CPU_PRESSURE ((uint8_t)5)
#define LTP_SIGNAL_IO_PRESSURE ((uint8_t)6)
#define LTP_SIGNAL_DB_WRITE_LATENCY ((uint8_t)7)
#define LTP_SIGNAL_TRANSPORT_DISCONNECTED ((uint8_t)8)
#define LTP_SIGNAL_HEARTBEAT_TIMEOUT ((uint8_t)9)
#define LTP_SIGNAL_PARTIAL_OUTAGE ((uint8_t)10)
#define LTP_SIGNAL_QUORUM_LOST ((uint8_t)11)
#define LTP_SIGNAL_METRICS_STABILIZED ((uint8_t)12)
#define LTP_SIGNAL_RECOVERY_COMPLETE ((uint8_t)13)
#define LTP_SIGNAL_LINK_LOSS ((uint8_t)14)
#define LTP_SIGNAL_LINK_LATENCY ((uint8_t)15)
#define LTP_SIGNAL_CACHE_STALE ((uint8_t)16)
#define LTP_OBSERVATION_COUNT 16 /* so many there are, from 1 on */
#define LTP_OBSERVATION_MAX 63   /* so many there can be */
#define LTP_SIGNAL_OWN_FIRST 64
#define LTP_SIGNAL_OPERATOR ((uint8_t)64)            /* a person forced it */
#define LTP_SIGNAL_CORE_STARTED ((uint8_t)65)        /* written by the core: nothing observed yet */
#define LTP_SIGNAL_POLICY_CHANGED ((uint8_t)66)      /* written by the core: the state stays */
#define LTP_SIGNAL_ORIENTATION_OVERRUN ((uint8_t)67) /* written by the core: transitions outran the trace */
#define LTP_SIGNAL_ORIENTATION_LOST ((uint8_t)68)    /* written by the core: the page that it follows has no valid word,
                                                        or what it must observe was not pushed */
#define LTP_SIGNAL_OWN_COUNT 5

/* For DEFER: under which condition the intent will be replayed. */
#define LTP_COMMITMENT_NONE ((uint8_t)0)
#define LTP_COMMITMENT_WHEN_STABLE ((uint8_t)1) /* when the state is HEALTHY again, or RECOVERING lets it in */

/* What becomes of an intent that may have to be kept. */
#define LTP_KEPT_NONE ((uint8_t)0)    /* nothing: it was let in, or denied */
#define LTP_KEPT_NEW ((uint8_t)1)     /* DEFER: it is kept */
#define LTP_KEPT_SAME ((uint8_t)2)    /* DEFER: it is kept already, under this ticket */
#define LTP_KEPT_ENDED ((uint8_t)3)   /* DENY: it was kept, and has ended: LTP_END_* */
#define LTP_KEPT_DIFFERS ((uint8_t)4) /* DENY: its key is another intent's, which has this ticket */
#define LTP_KEPT_FULL ((uint8_t)5)    /* DENY: there is no room, in all or for its session */
#define LTP_KEPT_LATER ((uint8_t)6)   /* DENY: the log can take nothing just now */
#define LTP_KEPT_REPLAY ((uint8_t)7)  /* a kept intent is replayed */
#define LTP_KEPT_COUNT 8

/* How a kept intent ended. */
#define LTP_END_NONE ((uint8_t)0)      /* it was carried out, or has not ended */
#define LTP_END_EXPIRED ((uint8_t)1)
#define LTP_END_ATTEMPTS ((uint8_t)2)  /* its attempts were used up */
#define LTP_END_ABANDONED ((uint8_t)3) /* by the worker that had it */
#define LTP_END_CANCELLED ((uint8_t)4) /* by an operator */
#define LTP_END_COUNT 5

/* Who acts when a kept intent is replayed: the core itself, under its own continuity. No client's: its hello is refused (LTP_ERROR_FRAME_RANGE). */
#define LTP_SESSION_REPLAY ((uint64_t)0xFFFFFFFFFFFFFFFF)

/* Names in upper case, as in the protocol; "INVALID" for a value out of range. Static storage. */
const char *ltp_state_name(uint8_t state);
const char *ltp_verdict_name(uint8_t verdict);
const char *ltp_reason_name(uint8_t reason);
const char *ltp_signal_name(uint8_t signal);

/* ---- Frames ------------------------------------------------------------------------------------------ */

#define LTP_FRAME_LINE_BYTES 64
#define LTP_FRAME_BYTES_MAX 192
#define LTP_FRAME_MAGIC ((uint16_t)0x544C) /* the bytes 'L' 'T' */

#define LTP_FRAME_HELLO ((uint8_t)1)
#define LTP_FRAME_HEARTBEAT ((uint8_t)2)
#define LTP_FRAME_ORIENTATION ((uint8_t)3)
#define LTP_FRAME_ROUTE_REQUEST ((uint8_t)4)
#define LTP_FRAME_ROUTE_RESPONSE ((uint8_t)5)
#define LTP_FRAME_FOCUS_SNAPSHOT ((uint8_t)6)

#define LTP_HELLO_ANSWER ((uint16_t)1)          /* hello: the server's answer; continuity_token is granted */
#define LTP_HELLO_LATER ((uint16_t)2)           /* hello, with LTP_HELLO_ANSWER: nothing is granted; retry_after_ms says when to ask again */
#define LTP_ORIENTATION_HAS_PEER ((uint16_t)1)  /* orientation: the frame has its third line */
#define LTP_REQUEST_HAS_GOAL ((uint16_t)1)      /* route_request: the second line says what to keep to */
#define LTP_REQUEST_HAS_DEADLINE ((uint16_t)2)  /* route_request: deadline_ns counts */
#define LTP_REQUEST_REPLAY ((uint16_t)4)        /* route_request: the second line names the first request */
#define LTP_RESPONSE_HAS_BRANCHES ((uint16_t)1) /* route_response: the frame has its second line */

/* The first 8 bytes of every frame. */
typedef struct ltp_frame_header {
  uint16_t magic;
  uint8_t version; /* LTP_PROTOCOL_VERSION */
  uint8_t type;    /* LTP_FRAME_* */
  uint16_t size_bytes; /* of the whole frame: the one size that its type and flags call for */
  uint16_t flags;
} ltp_frame_header;

/* In frames and verdicts an epoch is the low 32 bits of its number, which has 64 in the trace and in ltp_status. */

#define LTP_DOMAIN_COUNT 256 /* continuity domains: a gateway, a venue, a shard; each has an epoch of its own */

/* A session shakes hands: a new life of it begins, with an incarnation, and a continuity token that holds for this session,
 * this incarnation and this domain in the domain's current continuity epoch. The same hello again (session, domain, nonce) is
 * the same life. */
typedef struct ltp_hello {
  ltp_frame_header header;
  uint64_t frame_id;
  uint64_t session_id;       /* not 0 */
  uint64_t continuity_token; /* 0 when asking */
  uint64_t client_nonce;     /* not 0: random, and another one for each life of the session; the answer repeats it */
  uint32_t continuity_epoch; /* of the domain; 0 when asking */
  uint32_t incarnation;      /* of the session; 0 when asking, else not */
  uint32_t node_id;          /* text id, 0 for none */
  uint32_t heartbeat_interval_ms;
  uint8_t domain;            /* continuity domain: the host says which */
  uint8_t version_min;       /* protocol versions spoken, inclusive; LTP_PROTOCOL_VERSION must be among them */
  uint8_t version_max;
  uint8_t reserved;
  uint32_t retry_after_ms;   /* 0 without LTP_HELLO_LATER */
} ltp_hello;

typedef struct ltp_heartbeat {
  ltp_frame_header header;
  uint64_t frame_id;
  uint64_t session_id;
  uint64_t time_unix_ns;
  uint64_t sequence;
  uint32_t orientation_epoch;
  uint32_t interval_ms;
  uint32_t incarnation; /* of the session or node that sends it */
  uint8_t state;
  uint8_t domain;       /* continuity domain */
  uint8_t reserved[10];
} ltp_heartbeat;

/* One measured fact behind a transition. Units are the signal's own; integers, so that digests agree. */
typedef struct ltp_evidence {
  uint32_t name_id; /* text id such as "queue_depth", or 0: the signal's own name */
  uint8_t signal;   /* LTP_SIGNAL_*, not NONE */
  uint8_t reserved[3];
  int64_t value;
  int64_t threshold;
} ltp_evidence;

#define LTP_EVIDENCE_MAX 3

typedef struct ltp_orientation {
  ltp_frame_header header;
  uint64_t frame_id;
  uint64_t time_unix_ns;
  uint32_t node_id; /* text id */
  uint32_t hint_id; /* text id */
  uint32_t epoch;
  uint32_t continuity_epoch;
  uint32_t policy_generation;
  uint8_t from;
  uint8_t to;
  uint8_t reason;             /* LTP_SIGNAL_* */
  uint8_t priority_threshold; /* requests below it are not admitted */
  uint8_t evidence_count;
  uint8_t reserved[7];
  ltp_evidence evidence[LTP_EVIDENCE_MAX]; /* entries from evidence_count on are zero */
} ltp_orientation;

/* Which fields of an ltp_orientation_peer say something; the others are zero. */
#define LTP_PEER_TELLS_LATENCY ((uint32_t)1)
#define LTP_PEER_TELLS_LOSS ((uint32_t)2)
#define LTP_PEER_TELLS_LOAD ((uint32_t)4)
#define LTP_PEER_TELLS_CACHE_AGE ((uint32_t)8)
#define LTP_PEER_TELLS_ALL ((uint32_t)15)

/* The third line of an orientation: what nodes tell each other of themselves. */
typedef struct ltp_orientation_peer {
  uint64_t incarnation; /* of the node: larger after each of its starts; not 0 */
  uint32_t lease_ms;    /* the frame holds for so long after its receipt; not 0 */
  uint32_t tells;       /* LTP_PEER_TELLS_* */
  uint32_t latency_us;
  uint32_t loss_ppm;    /* at most 1,000,000 */
  uint32_t load_permille; /* of its capacity; may be more than 1000 */
  uint32_t cache_age_s;
  uint8_t reserved[32];
} ltp_orientation_peer;

typedef struct ltp_route_request {
  ltp_frame_header header;
  uint64_t frame_id;
  uint64_t session_id;
  uint64_t continuity_token;
  uint64_t deadline_ns;  /* monotonic; 0 without LTP_REQUEST_HAS_DEADLINE */
  uint32_t intent_epoch; /* the domain's continuity epoch in which the intent was made, not that in which it is sent */
  uint32_t incarnation;  /* of the session, as its hello's answer said; 0 without a token */
  uint8_t action_class;
  uint8_t domain;   /* continuity domain, as in the hello */
  uint8_t priority; /* 0 is shed first, 255 last */
  uint8_t cohort;   /* of the user, for fair shedding inside one priority */
  uint32_t tenant_id;
  uint32_t cost; /* in the host's unit; 0 counts as 1 */
  uint8_t reserved[4];
} ltp_route_request;

#define LTP_GOAL_PREFER_ON_PREMISES ((uint32_t)1)
#define LTP_GOAL_PREFER_LOCAL_CACHE ((uint32_t)2)
#define LTP_GOAL_PREFERENCES_ALL ((uint32_t)3)
#define LTP_GOAL_OPTIONS_MAX 8

/* The second line of a route_request, with LTP_REQUEST_HAS_GOAL or LTP_REQUEST_REPLAY. What the answer should keep to, and the
 * peers it may choose from; zero without LTP_REQUEST_HAS_GOAL. And which request this one replays. */
typedef struct ltp_route_goal {
  uint32_t latency_us_max; /* 0: no bound */
  uint32_t loss_ppm_max;   /* 0: no bound; at most 1,000,000 */
  uint32_t preferences;    /* LTP_GOAL_PREFER_* */
  uint32_t option_count;
  uint32_t option_peer_id[LTP_GOAL_OPTIONS_MAX]; /* text ids; entries from option_count on are zero */
  uint64_t original_frame_id; /* of the first request; 0 without LTP_REQUEST_REPLAY */
  uint8_t reserved[8];
} ltp_route_goal;

/* Both lines of such a request. */
typedef struct ltp_long_request {
  ltp_route_request request;
  ltp_route_goal goal;
} ltp_long_request;

/* What whoever gets a route_response should do next. */
#define LTP_NEXT_NONE ((uint8_t)0)        /* nothing is said */
#define LTP_NEXT_WAIT ((uint8_t)1)        /* retry_after_ms, then the same again */
#define LTP_NEXT_REHANDSHAKE ((uint8_t)2) /* shake hands, then ask anew */
#define LTP_NEXT_RESYNC ((uint8_t)3)      /* look what the world is like before asking anew */
#define LTP_NEXT_GIVE_UP ((uint8_t)4)     /* it will never be admissible like this */
#define LTP_NEXT_COUNT 5

typedef struct ltp_route_response {
  ltp_frame_header header;
  uint64_t frame_id;
  uint64_t session_id;
  uint64_t request_frame_id;
  uint32_t epoch;
  uint32_t retry_after_ms; /* 0 for EXECUTE */
  uint32_t policy_generation;
  uint32_t selected_peer_id; /* text id, 0 for none */
  uint32_t continuity_epoch;
  uint8_t verdict; /* admissible is verdict == LTP_VERDICT_EXECUTE */
  uint8_t reason;
  uint8_t state;
  uint8_t commitment; /* not NONE exactly for DEFER */
  uint8_t branch_count;
  uint8_t next_step; /* LTP_NEXT_* */
  uint8_t domain;    /* continuity domain that continuity_epoch is of */
  uint8_t reserved[5];
} ltp_route_response;

#define LTP_BRANCHES_MAX 8

typedef struct ltp_route_branch {
  uint32_t peer_id;
  uint16_t action_id; /* text id */
  uint16_t reason_id; /* text id */
} ltp_route_branch;

typedef struct ltp_peer {
  uint32_t peer_id; /* text id, not 0 */
  uint8_t state;
  uint8_t reserved[3];
} ltp_peer;

#define LTP_PEERS_MAX 12

/* Periodic: the current picture, so that a human or a program can rewind. */
typedef struct ltp_focus_snapshot {
  ltp_frame_header header;
  uint64_t frame_id;
  uint64_t time_unix_ns;
  uint32_t node_id;     /* text ids */
  uint32_t note_id;
  uint32_t topology_id;
  uint32_t epoch;
  uint32_t continuity_epoch;
  uint32_t interval_ms; /* that the counts below cover */
  uint8_t state;
  uint8_t priority_threshold;
  uint8_t peer_count;
  uint8_t reserved[13];
  uint64_t executed_count;
  uint64_t denied_count;
  uint64_t deferred_count;
  uint64_t reserved_2;
  ltp_peer peers[LTP_PEERS_MAX]; /* entries from peer_count on are zero */
} ltp_focus_snapshot;

LTP_STATIC_ASSERT(sizeof(ltp_frame_header) == 8, frame_header_size);
LTP_STATIC_ASSERT(sizeof(ltp_hello) == 64, hello_size);
LTP_STATIC_ASSERT(sizeof(ltp_heartbeat) == 64, heartbeat_size);
LTP_STATIC_ASSERT(sizeof(ltp_evidence) == 24, evidence_size);
LTP_STATIC_ASSERT(offsetof(ltp_orientation, evidence) == 56, orientation_evidence_offset);
LTP_STATIC_ASSERT(sizeof(ltp_orientation) == 128, orientation_size);
LTP_STATIC_ASSERT(sizeof(ltp_orientation_peer) == 64, orientation_peer_size);
LTP_STATIC_ASSERT(offsetof(ltp_route_request, action_class) == 48, request_class_offset);
LTP_STATIC_ASSERT(sizeof(ltp_route_request) == 64, route_request_size);
LTP_STATIC_ASSERT(sizeof(ltp_route_goal) == 64, route_goal_size);
LTP_STATIC_ASSERT(sizeof(ltp_long_request) == 128, long_request_size);
LTP_STATIC_ASSERT(sizeof(ltp_route_response) == 64, route_response_size);
LTP_STATIC_ASSERT(sizeof(ltp_route_branch) == 8, route_branch_size);
LTP_STATIC_ASSERT(sizeof(ltp_peer) == 8, peer_size);
LTP_STATIC_ASSERT(offsetof(ltp_focus_snapshot, executed_count) == 64, focus_counts_offset);
LTP_STATIC_ASSERT(sizeof(ltp_focus_snapshot) == 192, focus_snapshot_size);

/* What is wrong with a frame. */
typedef struct ltp_frame_error {
  int32_t status;    /* LTP_ERROR_FRAME_*, or LTP_ERROR_NULL_ARGUMENT */
  uint32_t offset;   /* of the field, from the frame's first byte */
  const char *field; /* its name, such as "route_request.reserved". Static storage, never NULL */
  uint64_t reserved[2];
} ltp_frame_error;

/* Checks the frame at bytes, which may be unaligned and of which available bytes can be read. On LTP_OK the
 * frame occupies exactly header.size_bytes. error may be NULL. */
int32_t ltp_frame_check(const void *bytes, size_t available, ltp_frame_error *error);

/* Zeroes the frame of this type and flags at bytes and writes its header; fill in the rest in place. */
int32_t ltp_frame_init(void *bytes, size_t capacity, uint8_t type, uint16_t flags);

/* What the host knows of a peer, and the peer may not claim otherwise. */
#define LTP_VOUCHED_SESSION ((uint32_t)1) /* session_id is the peer's */
#define LTP_VOUCHED_TENANT ((uint32_t)2)
#define LTP_VOUCHED_COHORT ((uint32_t)4)
#define LTP_VOUCHED_DOMAIN ((uint32_t)8)
#define LTP_VOUCHED_ALL ((uint32_t)15)

typedef struct ltp_vouched {
  uint64_t session_id;
  uint32_t flags;    /* LTP_VOUCHED_*: which fields hold; the others are not looked at */
  uint32_t tenant_id;
  uint32_t cost_min; /* a request costs at least this */
  uint8_t priority_max; /* and has at most this priority; 255: as it says */
  uint8_t cohort;
  uint8_t domain;
  uint8_t reserved;
} ltp_vouched;

LTP_STATIC_ASSERT(sizeof(ltp_vouched) == 24, vouched_size);

/* Makes a request that a peer has sent claim no more than the host vouches for: before ltp_admit(), in the host's own copy of the frame.
 * LTP_ERROR_OPTION_RANGE: an unknown flag, or reserved is not 0. The frame is not checked here. */
int32_t ltp_request_restrict(ltp_route_request *request, const ltp_vouched *vouched);

/* ---- Signals ----------------------------------------------------------------------------------------- */

/* A core that is opened with signal_rules, or with a policy that has some, orients itself: the host pushes values, the core
 * makes transitions of them, each with its evidence, by one table (docs/ARCHITECTURE.md). It starts UNKNOWN, and comes to
 * HEALTHY by RECOVERING. */

/* What an active signal says. Worse ones count for the better ones as well. */
#define LTP_CONDITION_NONE ((uint8_t)0) /* the signal is not watched */
#define LTP_CONDITION_STRAINED ((uint8_t)1)  /* DEGRADED */
#define LTP_CONDITION_SATURATED ((uint8_t)2) /* SATURATED */
#define LTP_CONDITION_UNSTABLE ((uint8_t)3)  /* UNSTABLE */
#define LTP_CONDITION_FAILED ((uint8_t)4)    /* FAILED */

#define LTP_WEIGHT_FULL 100 /* active signals of a condition, and of worse ones, bring it about when they weigh this */
#define LTP_SIGNAL_RULE_BELOW ((uint8_t)1) /* active at or below enter, quiet above exit */

/* A signal is active once its value has been at or above enter for enter_dwell_ns, and quiet once it has been below exit
 * for exit_dwell_ns. In between it stays what it is. */
typedef struct ltp_signal_rule {
  int64_t enter;
  int64_t exit; /* 1 to enter; with LTP_SIGNAL_RULE_BELOW at least enter */
  uint64_t enter_dwell_ns;
  uint64_t exit_dwell_ns;
  uint64_t stale_ns; /* must be pushed at least this often, or the core is UNKNOWN; 0: need not */
  uint32_t weight;   /* 1 to LTP_WEIGHT_FULL */
  uint8_t condition; /* LTP_CONDITION_* */
  uint8_t flags;     /* LTP_SIGNAL_RULE_* */
  uint8_t reserved[2];
} ltp_signal_rule;

#define LTP_OBSERVE_PRESSURE ((uint32_t)1) /* read /proc/pressure: CPU_, MEMORY_ and IO_PRESSURE are pushed by
                                             the core, which is UNKNOWN when it cannot read them any more */
#define LTP_OBSERVE_MEMORY_LIMIT ((uint32_t)2) /* read the control group's memory limit: MEMORY_PRESSURE is pushed, 0 up to nine
                                             tenths of it (what can be dropped at once left out), 10,000 at it; with
                                             LTP_OBSERVE_PRESSURE the worse of both */
#define LTP_OBSERVE_HELLOS ((uint32_t)4) /* WS_RECONNECT_STORM is pushed: hellos that the open lanes answered, a second */
#define LTP_OBSERVE_ALL ((uint32_t)7)

typedef struct ltp_signal_rules {
  uint32_t struct_size;
  uint32_t flags;          /* LTP_OBSERVE_* */
  uint64_t state_dwell_ns; /* a state lasts at least this long before a better one; default 1 s */
  uint64_t recovering_ns;  /* quiet for this long, RECOVERING becomes HEALTHY; default 5 s */
  uint64_t observe_interval_ns; /* how often what LTP_OBSERVE_* names is read; default 100 ms */
  uint64_t reserved[6];
  ltp_signal_rule rules[LTP_OBSERVATION_MAX + 1]; /* by LTP_SIGNAL_*: entries of what is no observation are zero */
} ltp_signal_rules;

LTP_STATIC_ASSERT(sizeof(ltp_signal_rule) == 48, signal_rule_size);
LTP_STATIC_ASSERT(sizeof(ltp_signal_rules) == 3152, signal_rules_size);

/* The built-in rules. Units: CONNECTION_BACKLOG_GROWING and WS_RECONNECT_STORM in connections (a second),
 * QUEUE_LATENCY_SPIKE, DB_WRITE_LATENCY and LINK_LATENCY in microseconds, the pressures in hundredths of a percent of the time
 * in which something waited, LINK_LOSS in parts per million, CACHE_STALE in seconds, the others 0 or 1. */
int32_t ltp_signal_rules_default(ltp_signal_rules *rules, size_t struct_size);

/* ---- Policy ------------------------------------------------------------------------------------------ */

#define LTP_POLICY_VERSION 2
#define LTP_CLASS_COUNT 128 /* action classes, 0 to 127; a class with an empty name does not exist */
#define LTP_CLASS_NAME_BYTES 28
#define LTP_CLASS_NONE ((uint8_t)0xFF) /* in records of frames whose class could not be read */

/* Attributes of an action class. */
#define LTP_CLASS_CRITICAL ((uint32_t)1)            /* never EXECUTEd while FAILED */
#define LTP_CLASS_MUTATING ((uint32_t)2)            /* changes state that outlives the request */
#define LTP_CLASS_REQUIRES_CONTINUITY ((uint32_t)4) /* needs a token of the domain's current continuity epoch, and an
                                                       intent that was made in it; while RECOVERING every class
                                                       does that is not stateless */
#define LTP_CLASS_DEFERRABLE ((uint32_t)8)          /* a rule may answer DEFER */
#define LTP_CLASS_RECOVERY ((uint32_t)16)           /* ping, status, handshake, emergency stop */
#define LTP_CLASS_EXEMPT ((uint32_t)32)             /* no priority threshold applies, and no limit but its own rate */
#define LTP_CLASS_PERMIT ((uint32_t)64)             /* an EXECUTE takes a permit of the concurrency limit */
#define LTP_CLASS_STATELESS ((uint32_t)128)         /* acts for no session, so that no outage makes it wrong: a read that anybody may
                                                       make. Needs no token while RECOVERING; not with CRITICAL, MUTATING,
                                                       REQUIRES_CONTINUITY, DEFERRABLE or RECOVERY */
#define LTP_CLASS_ATTRIBUTES_ALL ((uint32_t)255)

typedef struct ltp_policy_class {
  uint32_t attributes;
  char name[LTP_CLASS_NAME_BYTES]; /* lower case letters, digits, '_', '-', '.'; zero-padded */
} ltp_policy_class;

#define LTP_RULE_WAIVE_CONTINUITY ((uint8_t)1)  /* in this state the class needs no token */
#define LTP_RULE_DEFER_WHEN_BELOW ((uint8_t)2)  /* below the threshold: DEFER rather than DENY */

/* What happens to a class in a state. */
typedef struct ltp_policy_rule {
  uint8_t verdict;
  uint8_t reason;       /* ADMITTED exactly for EXECUTE */
  uint8_t priority_min; /* for this class; the state's threshold may ask for more */
  uint8_t flags;        /* LTP_RULE_* */
  uint32_t retry_after_ms; /* least wait that a refused caller is told; spread to twice it over sessions */
} ltp_policy_rule;

#define LTP_RETRY_AFTER_MS_MAX 3600000

/* How much may be let in over time (GCRA, ITU-T I.371). Requests weigh their cost. */
typedef struct ltp_rate {
  uint32_t per_second; /* 0: no limit */
  uint32_t burst;      /* how much may come at once; 0: a tenth of a second's worth. A burst of less than two ticks of
                          the core's clock counts as that much. A request that costs more than the burst is never let in;
                          during the ramp the burst is as much smaller as the rate */
} ltp_rate;

/* How the concurrency limit moves, once a window, by the latency that permits are released with. Sources: Netflix
 * concurrency-limits (AIMDLimit, VegasLimit, Gradient2Limit). */
#define LTP_CONCURRENCY_NONE ((uint8_t)0)
#define LTP_CONCURRENCY_FIXED ((uint8_t)1)     /* stays at concurrency_initial */
#define LTP_CONCURRENCY_AIMD ((uint8_t)2)      /* dropped or slower than the timeout: 0.9 L; else, when in use: L + 1 */
#define LTP_CONCURRENCY_VEGAS ((uint8_t)3)     /* by the queue that latency over its least value speaks of */
#define LTP_CONCURRENCY_GRADIENT2 ((uint8_t)4) /* by latency now over its long average */
#define LTP_CONCURRENCY_COUNT 5
#define LTP_CONCURRENCY_MAX 65535
#define LTP_PERMITS_MAX 4096 /* that one lane can have out at a time */

#define LTP_LIMITS_SHED ((uint8_t)1) /* the priority threshold follows the load (DAGOR, SoCC 2018) */
#define LTP_LIMITS_TENANT_WHEN_CONTENDED ((uint8_t)2) /* tenants keep to their rate only while the total rate, the ramp, the
                                                        concurrency limit or shedding refuses, and for a second after */

/* Limits that every policy may have beside its table; all zero: none. They refuse what the table would EXECUTE. None
 * applies to RECOVERY classes, and to EXEMPT ones only their own rate. */
typedef struct ltp_policy_limits {
  ltp_rate total;      /* of all lanes and classes */
  ltp_rate tenant;     /* of each tenant; tenant_id 0 has none. Tenants share 1024 places by hash */
  ltp_rate recovering; /* while RECOVERING: what the ramp ends at */
  uint32_t ramp_ms;    /* how long the ramp takes; 1 to 3,600,000 when recovering is set */
  uint32_t ramp_start_permille; /* what it starts at, of recovering.per_second; 1 to 1000 */
  uint8_t concurrency; /* LTP_CONCURRENCY_* */
  uint8_t shed_signal; /* the load is too high while this signal's value, pushed within the last second, is above
                          shed_target (a core that orients itself); and while the total rate or the concurrency limit
                          refuses more than a fifth of what passes. LTP_SIGNAL_NONE: only the latter */
  uint8_t flags;       /* LTP_LIMITS_* */
  uint8_t reserved;
  uint32_t concurrency_initial; /* 1 to LTP_CONCURRENCY_MAX, between min and max */
  uint32_t concurrency_min;     /* at least 1 */
  uint32_t concurrency_max;
  uint32_t concurrency_timeout_us; /* AIMD: a longer latency counts as dropped; 0: none does */
  uint32_t permit_ttl_ms;          /* a permit that was not released for so long is taken back; 10 to 3,600,000 */
  uint32_t window_ms;              /* how often limits are adjusted, 1 to 10,000; 0: 100 */
  uint32_t shed_decrease_permille; /* a window too high lets in so much less; 1 to 500. DAGOR: 50 */
  uint32_t shed_increase_permille; /* any other so much more; 1 to 1000. DAGOR: 10 */
  uint32_t retry_horizon_max_ms;   /* retry_after grows with the number of callers that wait, up to this before it is
                                      spread; 100 to 3,600,000; 0: it does not */
  int64_t shed_target;
  uint8_t reserved_2[16];
  ltp_rate classes[LTP_CLASS_COUNT];
} ltp_policy_limits;

/* Whose UNSTABLE the outage of a continuity domain is. */
#define LTP_OUTAGE_OF_DOMAIN ((uint8_t)0) /* of requests of the domain */
#define LTP_OUTAGE_OF_BOTH ((uint8_t)1)   /* and of the service: the signal TRANSPORT_DISCONNECTED counts the domains that are out. In a core that follows a
                                             page, the page alone says what the service is */
#define LTP_OUTAGE_OF_SERVICE ((uint8_t)2) /* of the service alone, as with BOTH; the domain's continuity moves, and its requests are decided as all others */
#define LTP_OUTAGE_COUNT 3

/* What a policy says of continuity domains; all zero: the defaults. */
typedef struct ltp_policy_domains {
  uint32_t stay_ms;      /* a domain that is back stays in its outage for at least this long, twice as long with each return; up to
                            3,600,000; 0: 1,000 */
  uint32_t stay_ms_max;  /* and at most this; 0: 60,000, or stay_ms where that is more */
  uint32_t half_life_ms; /* returns count half after this; up to 86,400,000; 0: 60,000 */
  uint8_t outage;        /* LTP_OUTAGE_* */
  uint8_t reserved[3];
  ltp_rate hellos;       /* lives that may begin in each domain; per_second 0: no limit */
  uint8_t reserved_2[40];
} ltp_policy_domains;

LTP_STATIC_ASSERT(sizeof(ltp_policy_domains) == 64, policy_domains_size);

/* The whole policy: state x class -> rule, limits, and what makes the states. Fixed layout; its SHA-256 is its digest in the
 * trace. */
typedef struct ltp_policy {
  uint32_t struct_size;
  uint32_t version; /* LTP_POLICY_VERSION */
  uint8_t reserved[48];
  uint8_t priority_threshold[8]; /* of each state; [7] is zero */
  ltp_policy_class classes[LTP_CLASS_COUNT];
  ltp_policy_rule rules[LTP_STATE_COUNT][LTP_CLASS_COUNT];
  ltp_policy_limits limits;
  ltp_signal_rules signals; /* all zero: none. The rules of a core that orients itself from when the policy is loaded until
                               another one brings others. A core that follows a page, and a shadow policy, do not use them */
  ltp_policy_domains domains;
  uint8_t reserved_2[400];
} ltp_policy;

#define LTP_POLICY_THRESHOLDS_OFFSET 56
#define LTP_POLICY_CLASSES_OFFSET 64
#define LTP_POLICY_RULES_OFFSET 4160
#define LTP_POLICY_LIMITS_OFFSET 11328
#define LTP_POLICY_SIGNALS_OFFSET 12448
#define LTP_LIMITS_CLASSES_OFFSET 96

LTP_STATIC_ASSERT(offsetof(ltp_policy, priority_threshold) == LTP_POLICY_THRESHOLDS_OFFSET, policy_thresholds);
LTP_STATIC_ASSERT(sizeof(ltp_policy_class) == 32, policy_class_size);
LTP_STATIC_ASSERT(sizeof(ltp_policy_rule) == 8, policy_rule_size);
LTP_STATIC_ASSERT(offsetof(ltp_policy, classes) == LTP_POLICY_CLASSES_OFFSET, policy_classes_offset);
LTP_STATIC_ASSERT(offsetof(ltp_policy, rules) == LTP_POLICY_RULES_OFFSET, policy_rules_offset);
LTP_STATIC_ASSERT(offsetof(ltp_policy, limits) == LTP_POLICY_LIMITS_OFFSET, policy_limits_offset);
LTP_STATIC_ASSERT(offsetof(ltp_policy, signals) == LTP_POLICY_SIGNALS_OFFSET, policy_signals_offset);
LTP_STATIC_ASSERT(offsetof(ltp_policy_limits, classes) == LTP_LIMITS_CLASSES_OFFSET, policy_limits_classes);
LTP_STATIC_ASSERT(sizeof(ltp_policy_limits) == 1120, policy_limits_size);
LTP_STATIC_ASSERT(sizeof(ltp_policy) == 16064, policy_size);

typedef struct ltp_policy_error {
  int32_t status;
  uint16_t action_class; /* LTP_CLASS_NONE when no class is to blame */
  uint8_t state;         /* LTP_STATE_COUNT when no state is to blame */
  uint8_t signal;        /* LTP_SIGNAL_NONE when no signal is to blame */
  char message[184];
  uint64_t reserved[4];
} ltp_policy_error;

/* The built-in policy: the protocol's state table over the named classes that a service usually needs. */
int32_t ltp_policy_default(ltp_policy *policy);
/* LTP_OK, or what is wrong: shape first, then the never list. error may be NULL. */
int32_t ltp_policy_check(const ltp_policy *policy, ltp_policy_error *error);

/* ---- The core ---------------------------------------------------------------------------------------- */

typedef struct ltp_core ltp_core; /* one orientation, one policy, one trace */
typedef struct ltp_lane ltp_lane; /* one thread's way through a core */

#define LTP_STORAGE_AUTO ((uint32_t)0)     /* io_uring where it can be had, else pwritev */
#define LTP_STORAGE_IO_URING ((uint32_t)1)
#define LTP_STORAGE_PWRITEV ((uint32_t)2)

#define LTP_OPEN_VERIFY_TAIL ((uint32_t)1) /* check only the last two segments, not every retained byte */
#define LTP_OPEN_ANY_PAGE_OWNER ((uint32_t)2) /* follow orientation_page whoever owns it; else its owner must be
                                                this user or root */
#define LTP_OPEN_HOST_DRIVEN ((uint32_t)4) /* start no thread: the host calls ltp_poll() */

/* Where DEFER keeps its intents, and how many. Zero in any field: the default. */
typedef struct ltp_deferral_options {
  uint32_t struct_size;
  uint32_t capacity;          /* intents, pending and remembered ones, up to 16,777,215; default 65,536. Memory is taken as it is used */
  uint64_t bytes_max;         /* payloads of pending intents together; default 1 GiB */
  uint32_t payload_bytes_max; /* of one; default 64 KiB, and at most block_bytes less 512 */
  uint32_t per_session_max;   /* pending intents of one session; default 1,024 */
  uint32_t attempts_max;      /* how often an intent is handed out; default 10, up to 65,535 */
  uint32_t lease_ms;          /* how long a worker has an intent; default 30,000, up to a day */
  uint64_t expiry_ms;         /* an intent that waits for longer ends; default a day, up to 10 years */
  uint64_t remember_ms;       /* for so long it is known how an intent ended; default an hour, up to 10 years */
  uint64_t segment_bytes;     /* as in ltp_core_options; default 16 MiB */
  uint32_t block_bytes;       /* the same; default 256 KiB */
  uint32_t flags;             /* zero */
  uint32_t per_tenant_max;    /* pending intents of one tenant; 0: no bound of its own. Tenant 0 has none */
  uint32_t reserved;          /* zero */
  uint64_t session_bytes_max; /* payloads of pending intents of one session, and of one tenant; 0: no bound of its own */
  uint64_t tenant_bytes_max;
  uint64_t reserved_2; /* zero */
} ltp_deferral_options;

LTP_STATIC_ASSERT(sizeof(ltp_deferral_options) == 96, deferral_options_size);

typedef struct ltp_core_options {
  uint32_t struct_size;
  uint32_t storage;            /* LTP_STORAGE_* */
  const char *trace_directory; /* must exist */
  const ltp_policy *policy;    /* NULL: the built-in one */
  const uint8_t *continuity_key; /* 16 secret random bytes that go into the run's key, or NULL: random; all equal is refused.
                                    Tokens die with the run and the log either way: the run's own random bits are in its key */
  uint64_t segment_bytes;      /* 512 KiB to 1 GiB, whole pages, at least 4 blocks; default 64 MiB */
  uint64_t retain_bytes;       /* oldest sealed segments beyond this are deleted; 0: keep all */
  uint32_t retain_segments;    /* the same by count; 0: keep all */
  uint32_t block_bytes;        /* 16 KiB to 1 MiB, a power of two; default 256 KiB */
  uint32_t lane_blocks;        /* blocks in each lane's ring, 2 to 1024; default 16 */
  uint32_t lanes_max;          /* 1 to 64; default 16 */
  uint32_t inflight_blocks_max; /* writes under way at once, 1 to 64; default 8 */
  uint32_t flags;              /* LTP_OPEN_* */
  uint64_t commit_interval_ns; /* a record waits at most this long for its write; 50 us to 1 s; default 1 ms */
  uint64_t clock_interval_ns;  /* resolution of time stamps and deadlines; 50 us to 1 s; default 1 ms */
  uint64_t backpressure_wait_ns; /* how long a lane waits for a full trace before it denies; default 0, and 0 with
                                    LTP_OPEN_HOST_DRIVEN: it would wait for its own thread */
  uint64_t lock_wait_ns;       /* how long to wait for the trace's lock; default 500 ms, at most 60 s */
  const char *orientation_page; /* follow the orientation that another process publishes in this file; NULL: the host
                                   publishes */
  const ltp_signal_rules *signal_rules; /* the core orients itself by these, or by the policy's where it has some; NULL,
                                           and no policy's: it does not. Not with a page */
  const ltp_deferral_options *deferral; /* intents that are answered with DEFER are kept, beside the trace; NULL: they are not, and DEFER is
                                           advice. A directory with pending intents is not opened without */
} ltp_core_options;

/* Fills in the defaults. struct_size is sizeof(ltp_core_options) as the caller knows it. */
int32_t ltp_core_options_init(ltp_core_options *options, size_t struct_size);

#define LTP_KEY_BYTES 16

/* Reads a continuity key from a file: 16 bytes that are not all equal, in a regular file of this user's or root's which others may
 * neither read nor write (its group may read it). LTP_ERROR_KEY_FILE otherwise, and key is left as it was. error may be NULL. */
int32_t ltp_key_read(const char *path, uint8_t key[LTP_KEY_BYTES], ltp_error *error);

/* Opens the trace (recovering it if need be), starts the two background threads ("ltp-writer", "ltp-clock") with all
 * signals blocked (none with LTP_OPEN_HOST_DRIVEN), and publishes UNKNOWN: nothing is admitted but recovery actions until
 * the host publishes. */
int32_t ltp_core_open(const ltp_core_options *options, ltp_core **core, ltp_error *error);

/* Denies from now on, waits for the lanes to be closed, drains, makes everything durable, seals, and frees.
 * Calls that other threads are in are finished first; later ones answer LTP_ERROR_CLOSING or LTP_ERROR_BAD_HANDLE.
 * LTP_ERROR_LANES_OPEN when lanes are still open after timeout_ns: close them and call again. LTP_ERROR_IN_USE when
 * another living thread polls: ltp_poll_end() there, or close there. LTP_ERROR_CLOSING when another thread closes
 * the core just now. Any other status: the core is gone, and the message says what is not durable. */
int32_t ltp_core_close(ltp_core *core, uint64_t timeout_ns, ltp_error *error);

/* A core with LTP_OPEN_HOST_DRIVEN has no thread: its time stands still, and nothing reaches the disk, but in these
 * calls. ltp_lane_wait_durable(), ltp_core_open() and ltp_core_close() do the same work while they wait. */

/* A descriptor that is readable when ltp_poll() is due: at each clock_interval_ns, when a write has ended, when somebody
 * waits. For epoll, poll or select; the core reads and closes it. */
int32_t ltp_event_descriptor(ltp_core *core, int32_t *descriptor);
/* Moves the clock on, follows the page, takes what lanes and publishers handed over, and starts and ends writes, without
 * sleeping (with LTP_STORAGE_PWRITEV it writes itself). One thread polls, from its first call on; LTP_ERROR_IN_USE in
 * others. Any other status says why the trace takes no more records; the host goes on polling, or closes the core. */
int32_t ltp_poll(ltp_core *core);
/* The polling thread polls no more: waits for the writes under way, and lets another thread poll, or close the core. Before
 * a polling thread ends, unless it closes the core itself: of writes that it leaves under way nobody can say whether
 * they reached the disk, and ltp_core_close() reports LTP_ERROR_TRACE_IO. LTP_ERROR_IN_USE in another thread; otherwise it has
 * ended, and a status says why the trace takes no more records. */
int32_t ltp_poll_end(ltp_core *core);

/* What a host tells the core. */
#define LTP_TRANSITION_ADVANCE_CONTINUITY ((uint32_t)1) /* sessions must shake hands again */
#define LTP_TRANSITION_SET_THRESHOLD ((uint32_t)2)      /* priority_threshold counts; else the policy's own */
#define LTP_TRANSITION_TEXT_BYTES 120

typedef struct ltp_transition {
  uint32_t struct_size;
  uint32_t flags;
  uint8_t to;     /* LTP_STATE_* */
  uint8_t reason; /* LTP_SIGNAL_*, an observation or OPERATOR */
  uint8_t priority_threshold;
  uint8_t evidence_count;
  uint8_t reserved[4];
  ltp_evidence evidence[LTP_EVIDENCE_MAX];
  char text[LTP_TRANSITION_TEXT_BYTES]; /* free text, zero-terminated UTF-8 */
} ltp_transition;

LTP_STATIC_ASSERT(sizeof(ltp_transition) == 208, transition_size);

/* Publishes a transition. Lock-free; every lane sees it with its next decision. *epoch (may be NULL) gets
 * the new epoch. Going to UNSTABLE or FAILED always advances continuity. LTP_ERROR_PAGE_FOLLOWED in a core that
 * follows a page, LTP_ERROR_OBSERVING in one that orients itself. */
int32_t ltp_orientation_publish(ltp_core *core, const ltp_transition *transition, uint32_t *epoch);

/* The current orientation, as an orientation frame with the last transition's reason and evidence. Waits for a publisher that is still
 * writing its transition down, a moment; LTP_ERROR_TIMED_OUT after a second: the publisher was stopped in between. */
int32_t ltp_orientation_get(ltp_core *core, ltp_orientation *frame);

/* Swaps the policy while lanes decide. *generation (may be NULL) gets the new policy's number. LTP_ERROR_NOT_OBSERVING when
 * it has signal rules, and the host orients the core; LTP_ERROR_PRESSURE when what its rules ask the core to read cannot be
 * read here. */
int32_t ltp_policy_load(ltp_core *core, const ltp_policy *policy, uint32_t *generation, ltp_policy_error *error);

/* A second policy that decides beside the first and enforces nothing: its verdict goes into each decision's record, for
 * `ltp inspect compare`. Its limits are not run: it is compared by its table and thresholds. NULL takes it away. It stays
 * when the first policy is loaded anew. *generation (may be NULL) gets the number of the pair. */
int32_t ltp_policy_shadow(ltp_core *core, const ltp_policy *policy, uint32_t *generation, ltp_policy_error *error);

/* Interns a text of at most 115 bytes: the same text gives the same id, and the trace holds it once a segment. */
#define LTP_TEXT_BYTES_MAX 115
#define LTP_TEXT_COUNT_MAX 1024
int32_t ltp_text_intern(ltp_core *core, const char *text, uint32_t *id);

/* ---- Signals, pushed ---------------------------------------------------------------------------------- */

#define LTP_PUSH_NOW ((uint32_t)1) /* orient at once, in this call, not with the next tick */
/* The value that a signal has now. Lock-free without LTP_PUSH_NOW; any thread, at any rate. What lasts no tick and is not
 * pushed with LTP_PUSH_NOW may go unseen. LTP_OK also when the trace cannot take a transition just now: the next tick
 * tries again. */
int32_t ltp_signal_push(ltp_core *core, uint8_t signal, int64_t value, uint32_t flags);

/* An operator's state, whatever the signals say, until it is released; reason should be LTP_SIGNAL_OPERATOR. Both are
 * recorded. */
int32_t ltp_orientation_force(ltp_core *core, const ltp_transition *transition, uint32_t *epoch);
/* From here on the signals decide again, starting from the state that was forced. */
int32_t ltp_orientation_release(ltp_core *core, uint32_t *epoch);

/* ---- Continuity domains --------------------------------------------------------------------------------- */

/* A domain is what can be lost by itself: a gateway, a venue, a shard. The host says in which one a session is, in hello and
 * request. Sessions of other domains keep their tokens when one is lost. */

#define LTP_TRANSPORT_CONNECTED ((uint8_t)1)
#define LTP_TRANSPORT_DISCONNECTED ((uint8_t)2)
#define LTP_TRANSPORT_RESTARTED ((uint8_t)3) /* it was lost and is back, with nothing of what it knew */

/* Reports what became of a domain's transport. DISCONNECTED and RESTARTED begin an outage of the domain: its continuity moves on, its
 * requests are decided as in UNSTABLE where the service's own state is no worse, its hellos are put off. The outage ends when the
 * domain has been CONNECTED for its stay (ltp_policy_domains), which doubles with each return. Any thread.
 * LTP_ERROR_BACKPRESSURE: the trace can take no transition now; nothing was changed, report it again. */
int32_t ltp_transport_event(ltp_core *core, uint8_t domain, uint8_t event);

/* Takes a heartbeat frame of its domain, which is watched from then on: silence for three of its interval_ms is an outage of the domain,
 * with the reason HEARTBEAT_TIMEOUT; its next heartbeat says that it is back. interval_ms 0: the domain will send no more, and is not
 * watched. The host vouches for whose it is. Any thread. LTP_ERROR_BACKPRESSURE: the heartbeat counts, but the trace cannot take now that
 * the domain is back; take the next one. */
int32_t ltp_heartbeat_take(ltp_core *core, const void *heartbeat, size_t available);

/* ---- The orientation page ---------------------------------------------------------------------------- */

/* A file, mapped into every process that uses it: one process publishes an orientation, any number of cores follow it
 * (ltp_core_options.orientation_page), each decision with the one load that it makes anyway. What is published holds
 * for a lease: a publisher that neither publishes nor renews for that long reads as UNKNOWN, whatever has become of it;
 * a follower notices with its next tick (clock_interval_ns, or ltp_poll()), so a lease should last several of those.
 * Only the file's owner may publish, one process at a time; who may read is what the file's mode says. A page that
 * others may write is refused. Put it where only its owner can replace it, in memory for preference: /dev/shm, /run.
 * Truncating a page in use is fatal to its readers (SIGBUS), as for any mapped file. Removing it is not, but who has it open
 * stays with the removed one, and reads UNKNOWN once its lease has ended: open again. */
typedef struct ltp_page ltp_page;

#define LTP_PAGE_BYTES 4096
#define LTP_PAGE_VERSION 2
#define LTP_PAGE_MAGIC ((uint64_t)0x31454741504F504C) /* the bytes "LPOPAGE1" */
#define LTP_PAGE_ENTRIES 8
#define LTP_PAGE_LEASE_NS_MIN ((uint64_t)1000000)        /* 1 ms */
#define LTP_PAGE_LEASE_NS_MAX ((uint64_t)3600000000000)  /* 1 h; a lease that ends later is not believed */

/* One transition, and the lease of what it says. Valid while word is what it was before it was read. */
typedef struct ltp_page_entry {
  uint64_t word; /* 0 while it is being written */
  uint64_t word_before;
  uint64_t time_monotonic_ns;
  uint64_t time_unix_ns;
  uint8_t reason;
  uint8_t evidence_count;
  uint8_t reserved[6];
  ltp_evidence evidence[LTP_EVIDENCE_MAX]; /* name_id is 0: texts are a core's own */
  char text[LTP_TRANSITION_TEXT_BYTES];
  uint64_t lease_until_ns; /* monotonic: the word holds before it */
  uint64_t lease_ns;
  uint8_t reserved_2[8];
} ltp_page_entry;

/* The file. Words of 8 bytes are read and written whole. */
typedef struct ltp_page_layout {
  uint64_t magic; /* written last */
  uint32_t version;
  uint32_t size_bytes;
  uint8_t boot_id[16]; /* of the boot that the leases belong to */
  uint8_t reserved[32];
  uint64_t word;           /* as the orientation word in ltp_trace.h; its policy slot is 1 when the threshold counts,
                              else 0: the follower's own policy says it. Epoch 0: nothing is published */
  uint32_t changes; /* futex: grows with each change */
  uint8_t reserved_2[52];
  ltp_page_entry entries[LTP_PAGE_ENTRIES]; /* of epoch e at e % LTP_PAGE_ENTRIES */
  uint8_t reserved_3[1920];
} ltp_page_layout;

LTP_STATIC_ASSERT(offsetof(ltp_page_entry, evidence) == 40, page_entry_evidence_offset);
LTP_STATIC_ASSERT(offsetof(ltp_page_entry, text) == 112, page_entry_text_offset);
LTP_STATIC_ASSERT(offsetof(ltp_page_entry, lease_until_ns) == 232, page_entry_lease_offset);
LTP_STATIC_ASSERT(sizeof(ltp_page_entry) == 256, page_entry_size);
LTP_STATIC_ASSERT(offsetof(ltp_page_layout, word) == 64, page_word_offset);
LTP_STATIC_ASSERT(offsetof(ltp_page_layout, entries) == 128, page_entries_offset);
LTP_STATIC_ASSERT(sizeof(ltp_page_layout) == LTP_PAGE_BYTES, page_size);

/* Opens a page for publishing; makes the file (mode 0644 less the umask) if it is missing. What a process before
 * published holds on until its lease ends. */
int32_t ltp_page_open(const char *path, uint64_t lease_ns, ltp_page **page, ltp_error *error);
/* Opens a page for reading. flags: LTP_OPEN_ANY_PAGE_OWNER, or 0. */
int32_t ltp_page_open_reader(const char *path, uint32_t flags, ltp_page **page, ltp_error *error);
/* What has been published stays, and holds until its lease ends. LTP_ERROR_IN_USE: another thread is in a call with it. */
int32_t ltp_page_close(ltp_page *page);

/* Publishes for one lease, with the meaning of ltp_orientation_publish(). Evidence's name_id must be 0. Any thread. */
int32_t ltp_page_publish(ltp_page *page, const ltp_transition *transition, uint32_t *epoch);
/* Lets what this handle has published hold for another lease. To be called from the loop whose life it proves, a few
 * times a lease. */
int32_t ltp_page_renew(ltp_page *page);

/* What a page says. */
typedef struct ltp_page_reading {
  uint32_t struct_size;
  uint32_t epoch; /* of the page; 0: nothing published yet */
  uint32_t continuity_epoch;
  uint8_t from;
  uint8_t to;     /* UNKNOWN without a lease that runs */
  uint8_t reason; /* LTP_SIGNAL_ORIENTATION_LOST without a lease that runs */
  uint8_t priority_threshold;
  uint8_t evidence_count;
  uint8_t threshold_is_set;
  uint8_t reserved[6];
  uint64_t time_unix_ns; /* of the publication */
  uint64_t lease_left_ns; /* 0: it has ended */
  ltp_evidence evidence[LTP_EVIDENCE_MAX];
  char text[LTP_TRANSITION_TEXT_BYTES];
} ltp_page_reading;

int32_t ltp_page_read(ltp_page *page, ltp_page_reading *reading, size_t struct_size);
/* Waits until the page says something other than seen: another epoch, or its lease has ended, or runs again.
 * LTP_ERROR_TIMED_OUT when it does not. Sleeps meanwhile. */
int32_t ltp_page_wait(ltp_page *page, const ltp_page_reading *seen, uint64_t timeout_ns);

/* ---- Lanes and verdicts ------------------------------------------------------------------------------ */

/* 16 bytes, returned in two registers. Zeroed, it denies. */
typedef struct ltp_verdict {
  uint32_t epoch;             /* of the orientation that it was decided under */
  uint32_t retry_after_ms;    /* for DENY and DEFER; for EXECUTE: LTP_VERDICT_PERMIT() */
  uint32_t policy_generation;
  uint8_t verdict;
  uint8_t reason;
  uint8_t state;
  uint8_t commitment;
} ltp_verdict;

LTP_STATIC_ASSERT(sizeof(ltp_verdict) == 16, verdict_size);

/* The permit that an EXECUTE took, to be released when the work is done; 0: none. */
#define LTP_VERDICT_PERMIT(v) ((v).verdict == LTP_VERDICT_EXECUTE ? (v).retry_after_ms : 0)

/* Opens a lane. The handle may move between threads, but only one may use it at a time. */
int32_t ltp_lane_open(ltp_core *core, ltp_lane **lane, ltp_error *error);
/* Gives the lane's memory back once the trace has its records. Permits that it has out are the limit's again, though their
 * work may still go on: release them first. */
int32_t ltp_lane_close(ltp_lane *lane);

/* Decides one route_request. Never fails: what cannot be decided is denied, and the reason says why. When it
 * returns, the record is in the trace's memory; ltp_lane_wait_durable() says when it is on disk. The frame's bytes
 * are read where they lie, more than once: they must not change during the call. */
ltp_verdict ltp_admit(ltp_lane *lane, const void *frame, size_t available);

/* What a host keeps for each connection, in its own object: the life of the session that speaks there. Zeroed, it is bound to
 * none. The core keeps no table of sessions. */
typedef struct ltp_connection {
  uint64_t session_id;
  uint64_t client_nonce;
  uint32_t incarnation;
  uint32_t continuity_epoch; /* in which it began */
  uint8_t domain;
  uint8_t reserved[7];
} ltp_connection;

LTP_STATIC_ASSERT(sizeof(ltp_connection) == 32, connection_size);

/* Binds the connection to the life that a hello's answer began: to be called with what ltp_hello_answer() wrote. Frames of
 * the life before are refused from here on. */
int32_t ltp_connection_bind(ltp_connection *connection, const ltp_hello *answer);
/* ltp_admit() for a request that came over this connection. One whose session, incarnation and domain are not the connection's is
 * denied with LTP_REASON_OTHER_INCARNATION, whatever its class; so is any while the connection is bound to none. */
ltp_verdict ltp_admit_from(
  ltp_lane *lane, const ltp_connection *connection, const void *frame, size_t available);

/* Decides count requests, frame i at frames + i * stride (stride >= 64), into verdicts[0 .. count-1]. Each
 * sees the orientation current at its turn; the clock is read once. Returns how many say EXECUTE. */
size_t ltp_admit_batch(
  ltp_lane *lane, const void *frames, size_t stride, size_t count, ltp_verdict *verdicts);

#define LTP_OUTCOME_SUCCESS ((uint8_t)0)
#define LTP_OUTCOME_DROPPED ((uint8_t)1) /* overload: timed out, or refused further down */
#define LTP_OUTCOME_IGNORED ((uint8_t)2) /* says nothing about the load: a bad request, a cache's answer */

/* Gives a permit back to the lane that it was taken from. Any thread, while the lane is open. latency_ns: how long the work
 * took, which moves the limit; 0: since the verdict, by the core's clock (clock_interval_ns). */
int32_t ltp_permit_release(ltp_lane *lane, uint32_t permit, uint8_t outcome, uint64_t latency_ns);

/* Answers a hello: writes the answering frame with the session's incarnation and continuity token, and records it. A session
 * may shake hands in every state of the service; ltp_hello never admits an action. LTP_ERROR_FRAME_VERSION: it speaks no version that this
 * library does. LTP_ERROR_HELLO_LATER: its domain is in an outage of its own, or the rate of hellos has no room, or the session has begun four lives within
 * a second; the answer is written, and is to be sent. None of these leaves a record. The same hello again, to the same lane, is answered alike, and counts once.
 * LTP_ERROR_BACKPRESSURE: the trace cannot take its record now; that is counted with the decisions denied without a
 * record. */
int32_t ltp_hello_answer(ltp_lane *lane, const void *hello, size_t available, ltp_hello *answer);

/* Voids every life of a session so far, in all domains: its requests are refused with REHANDSHAKE_REQUIRED, in all lanes, until it
 * has shaken hands again. The core keeps no table of sessions: it counts by a hash, so that, rarely, another session has to shake hands as
 * well; what is void is never admitted. Recorded. Who sends the same hello again gets the same incarnation, under another token.
 * LTP_ERROR_BACKPRESSURE: the trace cannot take its record now; nothing was changed. */
int32_t ltp_lane_void_session(ltp_lane *lane, uint64_t session_id);

/* The fencing number of a verdict of this lane: the domain's continuity epoch, in full. epoch: the verdict's. It goes with each EXECUTE to
 * whoever carries it out, and only grows in a log, over restarts as well. Who has seen a higher one refuses what comes with a lower one: that was
 * let in before an outage (docs/POLICIES.md has the WHERE clause). Two loads. 0: the lane
 * has seen another orientation since, or it is not a good handle: ask anew. */
uint64_t ltp_lane_fence(ltp_lane *lane, uint8_t domain, uint32_t epoch);

/* Writes the route_response that tells this verdict to the sender of this request, with what to do next. It does not tell the
 * continuity epoch: only a hello's answer does, so that nobody acts under it unknowingly. */
int32_t ltp_response_write(
  const void *request, size_t available, const ltp_verdict *verdict, ltp_route_response *response);

/* The sequence that the lane's next record will get: records below it have been issued. */
uint64_t ltp_lane_sequence(ltp_lane *lane);
/* Records below this sequence are on disk. Any thread. */
uint64_t ltp_lane_durable(ltp_lane *lane);
/* Asks the writer to write this lane's records below sequence at once, and does not wait. Any thread. Look at ltp_lane_durable() afterwards: they
 * may be on disk already. LTP_ERROR_SEQUENCE_AHEAD, or why the trace failed. */
int32_t ltp_lane_want_durable(ltp_lane *lane, uint64_t sequence);
/* An eventfd for an event loop that holds answers until they are on disk: readable when a lane has more records on disk than before, and some
 * of them are wanted (ltp_lane_want_durable), or when the trace has failed. Then look at ltp_lane_durable() of each lane with answers to
 * give. The same one for the whole core; the loop reads its 8 bytes, the core closes it. */
int32_t ltp_durable_descriptor(ltp_core *core, int32_t *descriptor);
/* Waits until records below sequence are on disk: pass ltp_lane_sequence() before a critical EXECUTE. Asks the
 * writer to write at once. Any thread. LTP_ERROR_TIMED_OUT, or why the trace failed. */
int32_t ltp_lane_wait_durable(ltp_lane *lane, uint64_t sequence, uint64_t timeout_ns);

/* ---- Deferral and replay ----------------------------------------------------------------------------- */

/* What is exactly-once is an intent's end: each has one, in the trace. What is at-least-once is the hand-over: a worker that dies between its
 * effect and the commit has its intent handed out again, with the same key and may_have_happened. So make the effect and the key one transaction in
 * the host's own store (docs/DEFERRAL.md has it in SQL), and commit what is found done already. */

/* What to keep of an intent, beside its request. */
typedef struct ltp_keep {
  uint32_t struct_size;
  uint16_t attempts_max;     /* 0: the core's */
  uint16_t reserved;
  const void *payload;       /* opaque; lies in the deferral log and nowhere else, the trace has its hash */
  uint64_t payload_bytes;    /* at least 1 */
  uint8_t key[16];           /* what makes two sendings one intent; all zero: session and frame id do */
  uint64_t expires_after_ms; /* 0: the core's */
} ltp_keep;

LTP_STATIC_ASSERT(sizeof(ltp_keep) == 48, keep_size);

typedef struct ltp_kept {
  uint64_t ticket;          /* 0: none */
  uint64_t sequence;        /* of the deferral log: what is durable up to here is kept */
  uint64_t expires_unix_ns;
  uint8_t result;           /* LTP_KEPT_* */
  uint8_t end;              /* with LTP_KEPT_ENDED: LTP_END_* */
  uint8_t condition;        /* LTP_COMMITMENT_* */
  uint8_t reserved[5];
} ltp_kept;

LTP_STATIC_ASSERT(sizeof(ltp_kept) == 32, kept_size);

/* ltp_admit() for a request whose intent is kept when the verdict is DEFER. First of all it asks whether the key is known: an intent that is pending
 * gets its ticket again, one that has ended is denied and its end told. An intent of a deferrable class goes behind a pending one of its
 * session, whatever the state. LTP_OK: *verdict says what became of it, and kept (may be NULL) which ticket it has. DEFER may be answered once
 * ltp_kept_durable() has reached kept->sequence: ltp_kept_wait(). Anything else: nothing was decided or recorded. */
int32_t ltp_admit_keeping(
  ltp_lane *lane, const void *frame, size_t available, const ltp_keep *what, ltp_verdict *verdict, ltp_kept *kept);

/* The deferral log is durable below this sequence; 0 in a core without one. Any thread. */
uint64_t ltp_kept_durable(ltp_core *core);
/* Waits until it is durable up to sequence. Many that wait share one write. LTP_ERROR_TIMED_OUT, or why the log failed. An event loop does not
 * wait: ltp_durable_descriptor() is raised whenever more of the deferral log is durable. */
int32_t ltp_kept_wait(ltp_core *core, uint64_t sequence, uint64_t timeout_ns);

/* Has what is kept up to now written at once, and does not wait: for an event loop that does not want to wait for commit_interval_ns either. Any
 * thread. */
int32_t ltp_kept_want(ltp_core *core);

/* An intent in a worker's hands. */
typedef struct ltp_handout {
  uint64_t ticket;
  uint64_t payload_bytes;
  uint64_t lease_until_unix_ns;
  uint64_t kept_unix_ns;
  uint64_t frame_id;         /* of the replay; request.frame_id is the first one's */
  uint16_t attempt;          /* 1, 2, 3, ... */
  uint8_t may_have_happened; /* 1: it was handed out before, and nobody has said that it was not carried out; or a run that handed intents out
                                ended in a crash while this one was pending */
  uint8_t reserved[5];
  ltp_verdict verdict;       /* EXECUTE; with a permit, where a concurrency limit gave one */
  uint8_t key[16];
  ltp_route_request request; /* as it was first sent */
} ltp_handout;

LTP_STATIC_ASSERT(sizeof(ltp_handout) == 144, handout_size);

/* Hands out the next intent that can be carried out now: the first one of each session that has any, by turns. It is decided again, as a new request with
 * LTP_SESSION_REPLAY, under the orientation, the policy and the limits of now; what is denied or deferred again stays where it is.
 * LTP_ERROR_NOTHING_DUE: ask again later. LTP_ERROR_BUFFER_TOO_SMALL: nothing was handed out; handout->payload_bytes says how much it
 * takes. The payload is copied to payload. It is the worker's until the lease ends. */
int32_t ltp_intent_begin(ltp_lane *lane, ltp_handout *handout, void *payload, size_t capacity);
/* It was carried out: its end. Any thread; attempt: the handout's. LTP_ERROR_TICKET, LTP_ERROR_INTENT_ENDED (it was committed before, for
 * example), LTP_ERROR_NOT_YOURS, LTP_ERROR_BACKPRESSURE: try again. */
int32_t ltp_intent_commit(ltp_core *core, uint64_t ticket, uint16_t attempt);
/* It was not carried out, and is to be handed out again, not before delay_ms from now; or ends, when its attempts are used up. */
int32_t ltp_intent_release(ltp_core *core, uint64_t ticket, uint16_t attempt, uint64_t delay_ms);
/* It will not be carried out: its end. */
int32_t ltp_intent_abandon(ltp_core *core, uint64_t ticket, uint16_t attempt);
/* An operator ends it, whoever has it: as LTP_END_CANCELLED, or LTP_END_EXPIRED. */
int32_t ltp_intent_end(ltp_core *core, uint64_t ticket, uint8_t end);
/* An operator makes an intent due that waits for the delay of a release: it is handed out in its session's turn, as soon as it is let in.
 * LTP_ERROR_NOT_YOURS: a worker has it. */
int32_t ltp_intent_hasten(ltp_core *core, uint64_t ticket);

#define LTP_CARRIED_OUT 0  /* what a worker's function returns: commit */
#define LTP_NOT_CARRIED_OUT 1 /* release */
#define LTP_GIVEN_UP 2     /* abandon */

/* Carries out up to count intents, one after the other, by a function of the host's, which returns LTP_CARRIED_OUT and so on; anything else
 * releases. *done (may be NULL) gets how many were handed out. Permits are released. LTP_OK also when nothing is due. A function that throws
 * through this call leaves its intent to the lease. */
int32_t ltp_intent_run(
  ltp_lane *lane, int32_t (*carry_out)(void *context, const ltp_handout *handout, const void *payload), void *context,
  size_t count, size_t *done);

#define LTP_INTENT_WAITING ((uint8_t)0)
#define LTP_INTENT_BEGUN ((uint8_t)1)
#define LTP_INTENT_OVER ((uint8_t)2)

/* What became of an intent. */
typedef struct ltp_intent {
  uint64_t ticket;
  uint64_t session_id;
  uint64_t expires_unix_ns; /* 0 for one that is over */
  uint64_t until_unix_ns; /* WAITING: not before, 0: at once; BEGUN: the lease's end; OVER: when it ended. Whole milliseconds */
  uint32_t payload_bytes;
  uint16_t attempts;
  uint16_t attempts_max;
  uint8_t state;          /* LTP_INTENT_* */
  uint8_t end;            /* OVER: LTP_END_*, NONE: carried out */
  uint8_t action_class;
  uint8_t may_have_happened;
  uint8_t needs_hello;    /* it waits until its session has shaken hands */
  uint8_t reserved[11];
} ltp_intent;

LTP_STATIC_ASSERT(sizeof(ltp_intent) == 56, intent_size);

/* LTP_ERROR_TICKET: it is not known, or not any more. */
int32_t ltp_intent_get(ltp_core *core, uint64_t ticket, ltp_intent *intent);
/* The intents that are pending or remembered, from a place on: *place is 0 at first, and is moved on. *count gets how many were written; 0: that was
 * all. */
int32_t ltp_intent_list(ltp_core *core, uint64_t *place, ltp_intent *intents, size_t capacity, size_t *count);

typedef struct ltp_deferral_status {
  uint32_t struct_size;
  int32_t log_status;      /* LTP_OK, or why the deferral log takes nothing more */
  uint64_t pending;        /* intents without an end */
  uint64_t begun;          /* of those, in workers' hands */
  uint64_t remembered;     /* ended ones */
  uint64_t sessions;       /* that have pending ones */
  uint64_t pending_bytes;  /* payloads of pending ones */
  uint64_t kept;           /* since open, as all that follow */
  uint64_t committed;
  uint64_t expired;
  uint64_t attempts_used_up;
  uint64_t abandoned;
  uint64_t cancelled;
  uint64_t refused_full;
  uint64_t oldest_unix_ns; /* when the pending one was kept that has waited longest; 0: there is none. Of more than 65,536
                              intents: as it was up to 10 s ago */
  uint64_t memory_bytes;   /* what the table has touched: 62 bytes an intent, and 60 a session that has any */
  uint64_t log_bytes;      /* segments on disk */
  uint64_t sequence;       /* of the log */
  uint64_t durable;
  uint64_t reserved[6];
} ltp_deferral_status;

LTP_STATIC_ASSERT(sizeof(ltp_deferral_status) == 192, deferral_status_size);

int32_t ltp_deferral_status_get(ltp_core *core, ltp_deferral_status *status, size_t struct_size);

/* How a kept intent ended, in upper case: "CARRIED_OUT" for LTP_END_NONE. */
const char *ltp_end_name(uint8_t end);
/* A commitment in words, for the sender's eyes. */
const char *ltp_commitment_text(uint8_t commitment);

/* ---- The caller's side ------------------------------------------------------------------------------- */

/* For clients of a service that sheds: what it would most likely deny is denied before the wire, by adaptive throttling
 * (reject with probability (requests - K * accepts - 10) / (requests + 1) over a window), and retries keep to a share of the
 * requests. No core is needed. The caller owns the memory; any number of threads may use it. Nothing but counts. */
typedef struct ltp_throttle {
  uint64_t words[56]; /* to be set by ltp_throttle_init() */
} ltp_throttle;

typedef struct ltp_throttle_options {
  uint32_t struct_size;
  uint32_t accept_multiplier_percent; /* K: 100 to 1000; default 200: twice what is accepted is tried */
  uint64_t window_ns;                 /* 1 ms to 1 h; default 2 min */
  uint32_t retry_ratio_permille;      /* retries per thousand requests, up to 1000; default 100 */
  uint32_t retries_per_second_min;    /* allowed beside those, as many as that over the window; up to 1,000,000; default 10 */
  uint64_t seed;                      /* clients with the same seed draw alike */
} ltp_throttle_options;

LTP_STATIC_ASSERT(sizeof(ltp_throttle) == 448, throttle_size);
LTP_STATIC_ASSERT(sizeof(ltp_throttle_options) == 32, throttle_options_size);

int32_t ltp_throttle_options_init(ltp_throttle_options *options, size_t struct_size);
/* options: NULL for the defaults. */
int32_t ltp_throttle_init(ltp_throttle *throttle, const ltp_throttle_options *options);
/* Before a request: LTP_OK to send it, LTP_ERROR_THROTTLED to treat it as denied. now_ns: monotonic, or 0: read the clock. */
int32_t ltp_throttle_request(ltp_throttle *throttle, uint64_t now_ns);
/* A request that was sent got something else than a denial. */
int32_t ltp_throttle_accepted(ltp_throttle *throttle, uint64_t now_ns);
/* Before a request is tried again: LTP_OK, or LTP_ERROR_RETRY_BUDGET. Ask ltp_throttle_request() as well. */
int32_t ltp_throttle_retry(ltp_throttle *throttle, uint64_t now_ns);

/* One session of a client: its lives, and what may be sent in each. The caller owns the memory; one thread at a time uses it.
 * docs/POLICIES.md has the table of its phases. */
#define LTP_SESSION_NEW ((uint8_t)0)      /* has no life: a hello is to be sent, at not_before_ns */
#define LTP_SESSION_GREETING ((uint8_t)1) /* a hello is under way */
#define LTP_SESSION_RESYNC ((uint8_t)2)   /* has a life: the caller looks what the world is like, then ltp_session_resynced() */
#define LTP_SESSION_LIVE ((uint8_t)3)     /* intents may be made */
#define LTP_SESSION_COUNT 4

typedef struct ltp_session {
  uint64_t session_id;
  uint64_t client_nonce;     /* of the last hello */
  uint64_t continuity_token; /* a credential: not for logs */
  uint64_t not_before_ns;    /* monotonic: until then nothing is sent */
  uint32_t continuity_epoch;
  uint32_t incarnation;
  uint32_t hellos; /* sent so far */
  uint8_t domain;
  uint8_t phase; /* LTP_SESSION_* */
  uint8_t reserved[18];
} ltp_session;

LTP_STATIC_ASSERT(sizeof(ltp_session) == 64, session_size);

/* In each: now_ns is monotonic, or 0: read the clock. LTP_ERROR_BAD_HANDLE for memory that holds no session, zeroed for example. */
int32_t ltp_session_init(ltp_session *session, uint64_t session_id, uint8_t domain);
/* Begins a new life: writes the hello to be sent; while one is under way, the same again, for when its answer is lost.
 * LTP_ERROR_SESSION_HELD before not_before_ns. */
int32_t ltp_session_hello(ltp_session *session, uint64_t now_ns, ltp_hello *hello);
/* Takes the hello's answer. LTP_ERROR_HELLO_LATER: it was put off, to not_before_ns. LTP_ERROR_SESSION_ANSWER: it answers another
 * hello; nothing has changed. */
int32_t ltp_session_greeted(ltp_session *session, uint64_t now_ns, const void *answer, size_t available);
/* The caller has looked what became of its intents and of the world. */
int32_t ltp_session_resynced(ltp_session *session);
/* Stamps a request whose intent is made now: session, domain, epoch, incarnation, token. Once an intent: what is sent again keeps its
 * stamp. LTP_ERROR_SESSION_HELD in any phase but LIVE. */
int32_t ltp_session_stamp(ltp_session *session, ltp_route_request *request);
/* The same for a request that only looks what the world is like, before ltp_session_resynced(): in RESYNC, too. */
int32_t ltp_session_look(ltp_session *session, ltp_route_request *request);
/* Before each sending of a stamped request, the first one too: gives it the token of the present life. LTP_ERROR_INTENT_STALE: it was made
 * before an outage; drop it, or make it anew after looking. LTP_ERROR_SESSION_HELD: not now. */
int32_t ltp_session_carry(ltp_session *session, uint64_t now_ns, ltp_route_request *request);
/* Takes the answer to a request as it was sent. *next_step (may be NULL) gets what to do with that intent: LTP_NEXT_*. An answer to a life
 * before changes nothing of this one. */
int32_t ltp_session_told(
  ltp_session *session, uint64_t now_ns, const ltp_route_request *request, const void *response, size_t available,
  uint8_t *next_step);
/* The connection is gone. The next hello waits for up to spread_ms, each session for another part of it. */
int32_t ltp_session_lost(ltp_session *session, uint64_t now_ns, uint32_t spread_ms);

/* ---- Counters and status ----------------------------------------------------------------------------- */

typedef struct ltp_counter {
  uint64_t count;
  uint16_t action_class; /* LTP_CLASS_NONE for frames that were malformed */
  uint8_t state;
  uint8_t verdict;
  uint8_t reason;
  uint8_t reserved[3];
} ltp_counter;

LTP_STATIC_ASSERT(sizeof(ltp_counter) == 16, counter_size);

/* Sums the lanes' counters, open and closed, without stopping anyone: the non-zero ones, by state, class,
 * verdict, reason. *count gets how many there are; LTP_ERROR_BUFFER_TOO_SMALL when that exceeds capacity. */
int32_t ltp_counters_read(ltp_core *core, ltp_counter *counters, size_t capacity, size_t *count);

typedef struct ltp_status {
  uint32_t struct_size;
  int32_t trace_status;      /* LTP_OK, or why the trace takes no more records */
  uint32_t storage;          /* LTP_STORAGE_* in use */
  uint32_t lanes_open;
  uint64_t blocks_sealed;    /* since open */
  uint64_t blocks_durable;
  uint64_t bytes_written;
  uint64_t records_written;  /* decision records in sealed blocks */
  uint64_t writer_cpu_ns;    /* processor time of the writer's thread; 0 in a host-driven core */
  uint64_t backpressure_denied; /* decisions denied because the trace could not take them */
  uint64_t segment_index;
  uint32_t direct_io;        /* 1: writes bypass the page cache */
  uint32_t registered_buffers; /* 1: io_uring knows the lanes' memory */
  char storage_reason[128];  /* why not the faster storage; empty if it is in use */
  uint64_t permits_expired;  /* taken back because nobody released them */
  uint32_t concurrency_limit; /* 0: none */
  uint32_t permits_out;
  uint16_t shed_level;       /* requests whose priority * 256 + cohort is below it are shed just now */
  uint8_t reserved[2];
  uint32_t retry_floor_ms;   /* retry_after is at least this just now */
  uint64_t epoch;            /* of the orientation, in full */
  uint64_t continuity_epoch; /* in full */
  /* How much room numbers have that must not repeat in a log; epochs have 64 bits, and run out never. */
  uint32_t lanes_left;       /* that can still be opened */
  uint32_t policies_left;    /* that can still be loaded */
  uint32_t runs_left;        /* of the log, after this one */
  uint32_t texts_left;       /* that can still be interned in this run */
  uint64_t reserved_2[16];
} ltp_status;

int32_t ltp_core_status(ltp_core *core, ltp_status *status, size_t struct_size);

#ifdef __cplusplus
}
#endif

#endif /* LTP_H */
