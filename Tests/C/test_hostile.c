/* SPDX-License-Identifier: Apache-2.0
 * fault 30: a hostile caller gets a status, never undefined behaviour. */
#define _GNU_SOURCE
#include "check.h"
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A handle that is none: zeroed memory, a wild value, somebody else's structure. */
static void refuse_core(ltp_core *core) {
  static ltp_policy policy;
  ltp_policy_default(&policy);
  ltp_transition change = {.struct_size = sizeof change, .to = 1, .reason = LTP_SIGNAL_OPERATOR};
  ltp_orientation frame;
  ltp_status status;
  ltp_lane *lane = (ltp_lane *)&frame;
  ltp_error error;
  uint32_t number = 0;
  size_t count = 0;
  CHECK_EQUAL(ltp_core_close(core, 0, &error), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(error.status, LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_core_close(core, 0, NULL), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_orientation_publish(core, &change, &number), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_orientation_get(core, &frame), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_policy_load(core, &policy, &number, NULL), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_text_intern(core, "text", &number), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_lane_open(core, &lane, &error), LTP_ERROR_BAD_HANDLE);
  CHECK(lane == NULL);
  CHECK_EQUAL(ltp_counters_read(core, NULL, 0, &count), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_core_status(core, &status, sizeof status), LTP_ERROR_BAD_HANDLE);
}

static void refuse_lane(ltp_lane *lane) {
  ltp_route_request asked = request(1, 1, CLASS_PING);
  ltp_hello hello, answer;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  ltp_verdict verdict = admit(lane, &asked), verdicts[2];
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(verdict.reason, LTP_REASON_TRACE_BACKPRESSURE);
  CHECK_EQUAL(verdict.state, LTP_STATE_UNKNOWN);
  memset(verdicts, 0xAA, sizeof verdicts);
  CHECK_EQUAL(ltp_admit_batch(lane, &asked, sizeof asked, 1, verdicts), 0);
  CHECK_EQUAL(verdicts[0].verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(verdicts[1].verdict, 0xAA);
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &answer), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_lane_sequence(lane), 0);
  CHECK_EQUAL(ltp_lane_durable(lane), 0);
  CHECK_EQUAL(ltp_lane_wait_durable(lane, 0, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_ERROR_BAD_HANDLE);
}

static void no_handles(void) {
  refuse_core(NULL);
  refuse_lane(NULL);
  static _Alignas(4096) uint8_t zeros[8192];
  refuse_core((ltp_core *)(void *)zeros);
  refuse_lane((ltp_lane *)(void *)zeros);
  /* Not on a page: told without a look. */
  refuse_core((ltp_core *)(uintptr_t)0x1001);
  refuse_lane((ltp_lane *)(uintptr_t)0x1001);
}

static void use_after_close(void) {
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core), *other = open_lane(core);
  /* A lane is no core, and a core no lane. */
  refuse_core((ltp_core *)lane);
  refuse_lane((ltp_lane *)core);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  refuse_lane(lane);
  refuse_lane(lane);
  CHECK_EQUAL(ltp_lane_close(other), LTP_OK);
  close_core(core);
  refuse_core(core);
  refuse_lane(lane);
  refuse_lane(other);
  refuse_core(core);
}

static void null_arguments(void) {
  ltp_core_options options = small_options(new_directory());
  ltp_core *core = NULL;
  ltp_error error;
  CHECK_EQUAL(ltp_core_open(NULL, &core, &error), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_core_open(&options, NULL, &error), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_core_open(NULL, NULL, NULL), LTP_ERROR_NULL_ARGUMENT);
  core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  uint32_t number;
  size_t count;
  ltp_hello hello, answer;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  CHECK_EQUAL(ltp_orientation_publish(core, NULL, &number), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_orientation_get(core, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_policy_load(core, NULL, &number, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_text_intern(core, NULL, &number), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_text_intern(core, "text", NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_lane_open(core, NULL, &error), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_counters_read(core, NULL, 1, &count), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_counters_read(core, NULL, 0, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_core_status(core, NULL, sizeof(ltp_status)), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_hello_answer(lane, NULL, 64, &answer), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, 64, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_admit_batch(lane, NULL, 64, 1, NULL), 0);
  ltp_verdict verdict = {.verdict = 9};
  CHECK_EQUAL(ltp_admit_batch(lane, NULL, 64, 1, &verdict), 0);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(ltp_admit(lane, NULL, SIZE_MAX).reason, LTP_REASON_MALFORMED_FRAME);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

/* Frames at the last bytes of a page, behind which nothing may be read, and at every alignment. */
static void guard_pages(void) {
  long page = sysconf(_SC_PAGESIZE);
  uint8_t *base = mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(base != MAP_FAILED);
  uint8_t *end = base + page;
  REQUIRE_EQUAL(mprotect(end, (size_t)page, PROT_NONE), 0);
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  for (size_t available = 0; available < sizeof asked; available++) {
    memcpy(end - available, &asked, available);
    CHECK_EQUAL(ltp_admit(lane, end - available, available).reason, LTP_REASON_MALFORMED_FRAME);
    int32_t wanted = LTP_ERROR_FRAME_SHORT;
    CHECK_EQUAL(ltp_frame_check(end - available, available, NULL), wanted);
  }
  memcpy(end - sizeof asked, &asked, sizeof asked);
  CHECK_EQUAL(ltp_admit(lane, end - sizeof asked, sizeof asked).verdict, LTP_VERDICT_EXECUTE);
  /* A frame that says it is longer than what can be read. */
  asked.header.flags = LTP_REQUEST_HAS_GOAL;
  asked.header.size_bytes = 128;
  memcpy(end - sizeof asked, &asked, sizeof asked);
  CHECK_EQUAL(
    ltp_admit(lane, end - sizeof asked, sizeof asked).reason, LTP_REASON_MALFORMED_FRAME);
  for (size_t shift = 1; shift < 64; shift++) {
    asked = request(shift, 1, CLASS_READ);
    memcpy(base + shift, &asked, sizeof asked);
    CHECK_EQUAL(ltp_admit(lane, base + shift, sizeof asked).verdict, LTP_VERDICT_EXECUTE);
    CHECK_EQUAL(ltp_frame_check(base + shift, sizeof asked, NULL), LTP_OK);
  }
  ltp_lane_close(lane);
  close_core(core);
  munmap(base, (size_t)page * 2);
}

/* An options structure whose struct_size is right, at the very end of a page. */
static void guarded_structures(void) {
  long page = sysconf(_SC_PAGESIZE);
  uint8_t *base = mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(base != MAP_FAILED && mprotect(base + page, (size_t)page, PROT_NONE) == 0);
  ltp_core_options options = small_options(new_directory());
  ltp_core_options *edge = (ltp_core_options *)(void *)(base + page - sizeof options);
  memcpy(edge, &options, sizeof options);
  ltp_core *core = open_core(edge);
  ltp_transition change = {.struct_size = sizeof change, .to = 1, .reason = LTP_SIGNAL_OPERATOR};
  ltp_transition *last = (ltp_transition *)(void *)(base + page - sizeof change);
  memcpy(last, &change, sizeof change);
  memset(last->text, 'x', sizeof last->text);
  CHECK_EQUAL(ltp_orientation_publish(core, last, NULL), LTP_OK);
  char *text = (char *)base + page - 3;
  memcpy(text, "ab", 3);
  uint32_t id = 0;
  CHECK_EQUAL(ltp_text_intern(core, text, &id), LTP_OK);
  /* Sizes that no structure has. */
  uint32_t sizes[] = {0, 1, 4, (uint32_t)sizeof options - 1, 4097, UINT32_MAX};
  for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
    ltp_core *none = NULL;
    options.struct_size = sizes[index];
    CHECK_EQUAL(ltp_core_open(&options, &none, NULL), LTP_ERROR_STRUCT_SIZE);
    ltp_status status;
    CHECK_EQUAL(ltp_core_status(core, &status, sizes[index] > 4096 ? SIZE_MAX : 3), LTP_ERROR_STRUCT_SIZE);
  }
  close_core(core);
  munmap(base, (size_t)page * 2);
}

struct misuse {
  ltp_lane *lane;
  int rounds;
};

static void *ask_many(void *pointer) {
  struct misuse *misuse = pointer;
  ltp_route_request asked = request(1, 1, CLASS_PING);
  for (int round = 0; round < misuse->rounds; round++) admit(misuse->lane, &asked);
  return NULL;
}

/* A debug build ends the process, and says why. */
static void two_threads_in_a_lane(void) {
#ifndef LTP_LIBRARY_IS_DEBUG
  cannot_run("the library is no debug build; scripts/test-c sanitized has one");
#endif
  int said[2];
  REQUIRE_EQUAL(pipe(said), 0);
  int child = fork();
  if (child == 0) {
    dup2(said[1], 2);
    signal(SIGABRT, SIG_DFL);
    struct misuse misuse = {open_lane(open_small(new_directory())), 100000000};
    pthread_t thread;
    REQUIRE_EQUAL(pthread_create(&thread, NULL, ask_many, &misuse), 0);
    ask_many(&misuse);
    _exit(0);
  }
  close(said[1]);
  char text[512] = "";
  size_t used = 0;
  for (ssize_t got; used < sizeof text - 1 && (got = read(said[0], text + used, sizeof text - 1 - used)) > 0;)
    used += (size_t)got;
  CHECK_EQUAL(wait_for(child), 128 + SIGABRT);
  CHECK_TEXT(text, "two threads at once");
  /* By turns is what lanes are for. */
  ltp_core *core = open_small(new_directory());
  struct misuse use = {open_lane(core), 1000};
  for (int round = 0; round < 3; round++) {
    pthread_t thread;
    REQUIRE_EQUAL(pthread_create(&thread, NULL, ask_many, &use), 0);
    pthread_join(thread, NULL);
    ask_many(&use);
  }
  CHECK_EQUAL(ltp_lane_close(use.lane), LTP_OK);
  close_core(core);
}

static const struct test tests[] = {
  {"fault 30: handles that are none", no_handles},
  {"fault 30: use after close, and closing twice", use_after_close},
  {"fault 30: NULL wherever a pointer goes", null_arguments},
  {"fault 30: short and misaligned frames before a guard page", guard_pages},
  {"fault 30: structures before a guard page, and wrong sizes", guarded_structures},
  {"fault 30: two threads in one lane", two_threads_in_a_lane},
  {NULL, NULL},
};
const struct suite suite_hostile = {"hostile", tests};
