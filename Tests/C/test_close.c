/* SPDX-License-Identifier: Apache-2.0
 * Cores and lanes are closed while other threads are in calls with them: each call is finished first, or refused. */
#include "check.h"
#include "support.h"

#include <pthread.h>
#include <string.h>

struct closing {
  ltp_core *core;
  uint64_t timeout_ns;
  int32_t status;
  int begun;
};

static void *close_in_a_thread(void *pointer) {
  struct closing *closing = pointer;
  __atomic_store_n(&closing->begun, 1, __ATOMIC_RELEASE);
  closing->status = ltp_core_close(closing->core, closing->timeout_ns, NULL);
  return NULL;
}

/* While one waits for lanes, another is told so. A lane that is still open when the time is up leaves the core to the next. */
static void one_closes_at_a_time(void) {
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core);
  struct closing closing = {.core = core, .timeout_ns = 60 * SECOND};
  pthread_t thread;
  REQUIRE_EQUAL(pthread_create(&thread, NULL, close_in_a_thread, &closing), 0);
  /* From the first moment on at which nothing is published any more, the other one closes. */
  ltp_transition change = {.struct_size = sizeof change, .to = 1, .reason = LTP_SIGNAL_OPERATOR};
  while (ltp_orientation_publish(core, &change, NULL) != LTP_ERROR_CLOSING) sleep_ns(MILLISECOND);
  CHECK_EQUAL(ltp_core_close(core, 0, NULL), LTP_ERROR_CLOSING);
  /* It still answers: a lane is open. */
  CHECK_EQUAL(status_of(core).lanes_open, 1);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  pthread_join(thread, NULL);
  CHECK_EQUAL(closing.status, LTP_OK);
  CHECK_EQUAL(ltp_core_close(core, 0, NULL), LTP_ERROR_BAD_HANDLE);
}

static void closing_again_after_lanes_open(void) {
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core);
  for (int round = 0; round < 3; round++) CHECK_EQUAL(ltp_core_close(core, 0, NULL), LTP_ERROR_LANES_OPEN);
  CHECK_EQUAL(status_of(core).lanes_open, 1);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

/* Many close one core: one does. */
static void one_of_many_closes(void) {
  enum { COUNT = 8 };
  for (int round = 0; round < 12; round++) {
    ltp_core *core = open_small(new_directory());
    struct closing closing[COUNT];
    pthread_t threads[COUNT];
    for (int index = 0; index < COUNT; index++) {
      closing[index] = (struct closing){.core = core, .timeout_ns = 10 * SECOND};
      REQUIRE_EQUAL(pthread_create(&threads[index], NULL, close_in_a_thread, &closing[index]), 0);
    }
    int closed = 0;
    for (int index = 0; index < COUNT; index++) {
      pthread_join(threads[index], NULL);
      closed += closing[index].status == LTP_OK;
      CHECK(closing[index].status == LTP_OK || closing[index].status == LTP_ERROR_CLOSING ||
            closing[index].status == LTP_ERROR_BAD_HANDLE);
    }
    CHECK_EQUAL(closed, 1);
  }
}

/* ---- Calls during a close ---- */

static ltp_policy default_policy;

static int32_t call_publish(ltp_core *core) {
  ltp_transition change = {.struct_size = sizeof change, .to = 1, .reason = LTP_SIGNAL_OPERATOR};
  return ltp_orientation_publish(core, &change, NULL);
}
static int32_t call_get(ltp_core *core) {
  ltp_orientation frame;
  return ltp_orientation_get(core, &frame);
}
static int32_t call_status(ltp_core *core) {
  ltp_status status;
  return ltp_core_status(core, &status, sizeof status);
}
static int32_t call_counters(ltp_core *core) {
  ltp_counter counters[4];
  size_t count;
  int32_t status = ltp_counters_read(core, counters, 4, &count);
  return status == LTP_ERROR_BUFFER_TOO_SMALL ? LTP_OK : status;
}
static int32_t call_intern(ltp_core *core) {
  uint32_t id;
  return ltp_text_intern(core, "text", &id);
}
static int32_t call_load(ltp_core *core) { return ltp_policy_load(core, &default_policy, NULL, NULL); }
static int32_t call_shadow(ltp_core *core) { return ltp_policy_shadow(core, &default_policy, NULL, NULL); }
static int32_t call_push(ltp_core *core) {
  int32_t status = ltp_signal_push(core, LTP_SIGNAL_CPU_PRESSURE, 1, LTP_PUSH_NOW);
  return status == LTP_ERROR_NOT_OBSERVING ? LTP_OK : status;
}
static int32_t call_open_lane(ltp_core *core) {
  ltp_lane *lane = NULL;
  int32_t status = ltp_lane_open(core, &lane, NULL);
  if (status != LTP_OK) return status == LTP_ERROR_LANES_MAX ? LTP_OK : status;
  ltp_route_request asked = request(1, 1, CLASS_PING);
  admit(lane, &asked);
  return ltp_lane_close(lane);
}
static int32_t call_descriptor(ltp_core *core) {
  int32_t descriptor, status = ltp_event_descriptor(core, &descriptor);
  return status == LTP_ERROR_NOT_HOST_DRIVEN ? LTP_OK : status;
}
static int32_t call_poll(ltp_core *core) {
  int32_t status = ltp_poll(core);
  return status == LTP_ERROR_NOT_HOST_DRIVEN || status == LTP_ERROR_IN_USE ? LTP_OK : status;
}

static int32_t (*const calls[])(ltp_core *core) = {
  call_publish, call_get,  call_status, call_counters,  call_intern,     call_load,
  call_shadow,  call_push, call_open_lane, call_descriptor, call_poll,
};
#define CALLS (sizeof calls / sizeof *calls)

struct caller {
  ltp_core *core;
  int32_t (*call)(ltp_core *core);
  int32_t status;
  int calls;
};

/* Calls until it is refused. */
static void *call_until_refused(void *pointer) {
  struct caller *caller = pointer;
  do {
    caller->status = caller->call(caller->core);
    __atomic_add_fetch(&caller->calls, 1, __ATOMIC_RELEASE);
  } while (caller->status == LTP_OK || caller->status == LTP_ERROR_BACKPRESSURE);
  return NULL;
}

static void call_while_closing(uint32_t flags) {
  ltp_policy_default(&default_policy);
  for (int round = 0; round < 8; round++) {
    ltp_core_options options = small_options(new_directory());
    options.flags = flags;
    options.backpressure_wait_ns = 0;
    options.lanes_max = 4;
    ltp_core *core = open_core(&options);
    struct caller callers[CALLS];
    pthread_t threads[CALLS];
    for (size_t index = 0; index < CALLS; index++) {
      callers[index] = (struct caller){.core = core, .call = calls[index]};
      /* Not another thread's to poll: close would be refused. */
      if (flags != 0 && calls[index] == call_poll) callers[index].call = call_status;
      REQUIRE_EQUAL(pthread_create(&threads[index], NULL, call_until_refused, &callers[index]), 0);
    }
    for (size_t index = 0; index < CALLS; index++)
      while (__atomic_load_n(&callers[index].calls, __ATOMIC_ACQUIRE) == 0) sleep_ns(100000);
    close_core(core);
    for (size_t index = 0; index < CALLS; index++) {
      pthread_join(threads[index], NULL);
      CHECK(callers[index].status == LTP_ERROR_CLOSING || callers[index].status == LTP_ERROR_BAD_HANDLE);
    }
  }
}

static void calls_while_closing(void) { call_while_closing(0); }
static void calls_while_closing_driven(void) { call_while_closing(LTP_OPEN_HOST_DRIVEN); }

/* ---- A lane in the hands of several threads ---- */

struct waiting {
  ltp_lane *lane;
  uint64_t sequence;
  int32_t status;
  int begun;
};

static void *wait_in_a_thread(void *pointer) {
  struct waiting *waiting = pointer;
  __atomic_store_n(&waiting->begun, 1, __ATOMIC_RELEASE);
  waiting->status = ltp_lane_wait_durable(waiting->lane, waiting->sequence, 60 * SECOND);
  return NULL;
}

/* Waiters of a lane that is closed, and whose core is closed, come back with an answer. */
static void waiters_of_a_closed_lane(void) {
  enum { COUNT = 4 };
  for (int round = 0; round < 30; round++) {
    ltp_core *core = open_small(new_directory());
    ltp_lane *lane = open_lane(core);
    ltp_route_request asked = request(1, 1, CLASS_PING);
    admit(lane, &asked);
    struct waiting waiting[COUNT];
    pthread_t threads[COUNT];
    for (int index = 0; index < COUNT; index++) {
      waiting[index] = (struct waiting){.lane = lane, .sequence = ltp_lane_sequence(lane)};
      REQUIRE_EQUAL(pthread_create(&threads[index], NULL, wait_in_a_thread, &waiting[index]), 0);
    }
    for (int index = 0; index < COUNT; index++)
      while (!__atomic_load_n(&waiting[index].begun, __ATOMIC_ACQUIRE)) sleep_ns(10000);
    CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
    close_core(core);
    for (int index = 0; index < COUNT; index++) {
      pthread_join(threads[index], NULL);
      CHECK(waiting[index].status == LTP_OK || waiting[index].status == LTP_ERROR_BAD_HANDLE);
    }
    CHECK_EQUAL(ltp_lane_close(lane), LTP_ERROR_BAD_HANDLE);
  }
}

struct releasing {
  ltp_lane *lane;
  int stop;
};

static void *release_many(void *pointer) {
  struct releasing *releasing = pointer;
  for (uint32_t permit = 1; !__atomic_load_n(&releasing->stop, __ATOMIC_ACQUIRE); permit++) {
    int32_t status = ltp_permit_release(releasing->lane, permit, LTP_OUTCOME_SUCCESS, 0);
    if (status == LTP_ERROR_BAD_HANDLE) return NULL;
    ltp_lane_sequence(releasing->lane);
    ltp_lane_durable(releasing->lane);
  }
  return NULL;
}

static void permits_of_a_closed_lane(void) {
  ltp_core *core = open_small(new_directory());
  for (int round = 0; round < 200; round++) {
    struct releasing releasing = {.lane = open_lane_patiently(core)};
    pthread_t threads[2];
    for (int index = 0; index < 2; index++)
      REQUIRE_EQUAL(pthread_create(&threads[index], NULL, release_many, &releasing), 0);
    CHECK_EQUAL(ltp_lane_close(releasing.lane), LTP_OK);
    /* They come to an end by themselves. */
    for (int index = 0; index < 2; index++) pthread_join(threads[index], NULL);
    CHECK_EQUAL(ltp_lane_close(releasing.lane), LTP_ERROR_BAD_HANDLE);
  }
  close_core(core);
}

static const struct test tests[] = {
  {"one closes at a time", one_closes_at_a_time},
  {"lanes open: closing again works", closing_again_after_lanes_open},
  {"one of many that close does", one_of_many_closes},
  {"calls while a core is closed", calls_while_closing},
  {"calls while a host-driven core is closed", calls_while_closing_driven},
  {"waiters of a lane that is closed", waiters_of_a_closed_lane},
  {"permits of a lane that is closed", permits_of_a_closed_lane},
  {NULL, NULL},
};
const struct suite suite_close = {"close", tests};
