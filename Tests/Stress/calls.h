/* SPDX-License-Identifier: Apache-2.0
 *
 * calls.h: what the files of the mode "calls" share: who calls, with which handles.
 */
#ifndef LTP_STRESS_CALLS_H
#define LTP_STRESS_CALLS_H

#include "stress.h"

#define CALLERS 8
#define CORES 5
#define PAGES 4
#define LANES_OF_A_CALLER 3
#define LANES_SHARED 16
#define CLOSED_KEPT 64

enum { KIND_PUBLISHED, KIND_OBSERVING, KIND_DRIVEN, KIND_FOLLOWING, KINDS };
enum { SLOT_EMPTY, SLOT_BUSY, SLOT_OPEN };

/* A place for a core, with a trace that each core there goes on with. */
struct core_slot {
  const char *directory;
  unsigned number; /* of the directory */
  unsigned opened;
  int kind;
  int state; /* SLOT_* */
  ltp_core *core;
};

/* Handles that were closed: each must be told, whatever is in its memory now. */
struct closed {
  void *handles[CLOSED_KEPT];
  uint32_t count;
};

struct world {
  struct core_slot cores[CORES];
  ltp_page *pages[PAGES];
  int page_states[PAGES]; /* SLOT_* */
  /* What any thread may call with: a lane that another thread may close meanwhile, and a permit of it. */
  ltp_lane *lanes[LANES_SHARED];
  uint32_t permits[LANES_SHARED];
  struct closed closed_cores, closed_lanes, closed_pages;
  const char *directory;
  char page_path[512];
  ltp_policy policy;
  ltp_signal_rules rules;
  ltp_throttle throttle;
  uint64_t until;
};

extern struct world world;

/* One thread. */
struct caller {
  uint64_t random;
  ltp_lane *lanes[LANES_OF_A_CALLER];
  ltp_core *lanes_cores[LANES_OF_A_CALLER];
  ltp_hello greeted; /* of session 7, domain 0 */
  uint64_t frame_id;
  uint64_t calls, opened_cores, opened_lanes, opened_pages, executed, released;
  ltp_policy policy;
  uint64_t ticket, kept_sequence; /* of the last intent */
};

void *wrong_handle(struct caller *caller);
void remember_closed(struct closed *closed, void *handle);
void *closed_handle(struct closed *closed, struct caller *caller);
/* Notes a status that this call may not have. */
void expect(const char *what, int32_t status, const int32_t *allowed, size_t count);
#define EXPECT(what, status, ...) \
  expect(what, status, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* Of any call with a core that may be closed meanwhile. */
#define GONE LTP_ERROR_BAD_HANDLE, LTP_ERROR_CLOSING
/* Of what is done with a transition. */
#define TRANSITION_STATUSES \
  LTP_OK, LTP_ERROR_STRUCT_SIZE, LTP_ERROR_UNKNOWN_STATE, LTP_ERROR_UNKNOWN_SIGNAL, LTP_ERROR_EVIDENCE_COUNT, \
    LTP_ERROR_OPTION_RANGE, LTP_ERROR_FRAME_RANGE, LTP_ERROR_BACKPRESSURE

static inline uint32_t any(struct caller *caller, uint32_t count) { return pick(&caller->random, count); }
/* One in so many. */
static inline int seldom(struct caller *caller, uint32_t count) { return any(caller, count) == 0; }
/* A handle that was closed must be told. */
void told(const char *what, int is_closed, int32_t status);
ltp_transition a_transition(struct caller *caller);

void open_core(struct caller *caller);
int32_t close_core(struct core_slot *slot, uint64_t timeout_ns);
ltp_core *some_core(struct caller *caller);

/* One call or a few, whichever the caller's generator picks. */
void call_something(struct caller *caller);
/* The caller's lanes are closed, and it polls no more. */
void end_calls(struct caller *caller);
void close_all_pages(void);

void keep_intent(struct caller *caller, ltp_lane *lane);
void carry_out_intent(struct caller *caller, ltp_lane *lane, ltp_core *core);
void run_intents(struct caller *caller, ltp_lane *lane);
void look_at_intents(struct caller *caller, ltp_core *core);

void open_page(struct caller *caller);
void close_page(struct caller *caller);
void use_page(struct caller *caller);
void use_throttle(struct caller *caller);
void check_frames(struct caller *caller);
void names(struct caller *caller);

#endif
