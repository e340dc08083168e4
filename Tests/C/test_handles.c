/* SPDX-License-Identifier: Apache-2.0
 * A closed handle stays closed, whatever is opened after it. */
#define _GNU_SOURCE
#include "check.h"
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void refuse_lane(ltp_lane *lane) {
  ltp_route_request asked = request(1, 1, CLASS_READ);
  ltp_verdict verdicts[1];
  ltp_hello hello, answer;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  CHECK_EQUAL(admit(lane, &asked).reason, LTP_REASON_TRACE_BACKPRESSURE);
  CHECK_EQUAL(ltp_admit_batch(lane, &asked, sizeof asked, 1, verdicts), 0);
  CHECK_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &answer), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_permit_release(lane, 1, LTP_OUTCOME_SUCCESS, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_lane_sequence(lane), 0);
  CHECK_EQUAL(ltp_lane_durable(lane), 0);
  CHECK_EQUAL(ltp_lane_wait_durable(lane, 0, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_ERROR_BAD_HANDLE);
}

/* The address, without what tells one use of it from the next. */
static uintptr_t memory_of(const void *handle) { return (uintptr_t)handle & ~(uintptr_t)4095; }

/* A lane that is closed is not the next one, even where its memory is. */
static void stale_lane(void) {
  ltp_core *core = open_small(new_directory());
  publish(core, LTP_STATE_HEALTHY);
  ltp_lane *stale = open_lane(core);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  CHECK_EQUAL(admit(stale, &asked).verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(ltp_lane_close(stale), LTP_OK);
  ltp_lane *last = stale;
  int reused = 0;
  for (int round = 0; round < 200; round++) {
    ltp_lane *lane = open_lane_patiently(core);
    REQUIRE(lane != stale && lane != last);
    reused += memory_of(lane) == memory_of(stale);
    CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
    refuse_lane(stale);
    refuse_lane(last);
    /* The one that is open is none the worse for it. */
    CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
    settle(lane);
    CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
    last = lane;
  }
  CHECK(reused > 0);
  close_core(core);
}

/* EXECUTE where FAILED is in force: that was another core's lane. */
static void stale_lane_of_another_core(void) {
  ltp_core *failed = open_small(new_directory());
  publish(failed, LTP_STATE_FAILED);
  ltp_lane *stale = open_lane(failed);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  CHECK_EQUAL(admit(stale, &asked).verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(ltp_lane_close(stale), LTP_OK);
  close_core(failed);
  ltp_core *healthy = open_small(new_directory());
  publish(healthy, LTP_STATE_HEALTHY);
  CHECK_EQUAL(ltp_lane_open(failed, &(ltp_lane *){NULL}, NULL), LTP_ERROR_BAD_HANDLE);
  ltp_lane *lane = open_lane(healthy);
  CHECK_EQUAL(memory_of(lane), memory_of(stale));
  refuse_lane(stale);
  CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(healthy);
}

static void refuse_core(ltp_core *core) {
  static ltp_policy policy;
  ltp_policy_default(&policy);
  ltp_transition change = {.struct_size = sizeof change, .to = 1, .reason = LTP_SIGNAL_OPERATOR};
  ltp_orientation frame;
  ltp_status status;
  ltp_lane *lane = NULL;
  int32_t descriptor;
  uint32_t number;
  size_t count;
  CHECK_EQUAL(ltp_orientation_publish(core, &change, &number), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_orientation_get(core, &frame), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_orientation_force(core, &change, &number), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_orientation_release(core, &number), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_policy_load(core, &policy, &number, NULL), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_policy_shadow(core, NULL, &number, NULL), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_signal_push(core, LTP_SIGNAL_CPU_PRESSURE, 1, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_text_intern(core, "text", &number), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_counters_read(core, NULL, 0, &count), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_core_status(core, &status, sizeof status), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_lane_open(core, &lane, NULL), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_event_descriptor(core, &descriptor), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_poll(core), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_poll_end(core), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_core_close(core, 0, NULL), LTP_ERROR_BAD_HANDLE);
}

static void stale_core(void) {
  ltp_core *stale = open_small(new_directory());
  close_core(stale);
  for (int round = 0; round < 5; round++) {
    ltp_core *core = open_small(new_directory());
    REQUIRE(core != stale);
    CHECK_EQUAL(memory_of(core), memory_of(stale));
    refuse_core(stale);
    CHECK_EQUAL(status_of(core).trace_status, LTP_OK);
    publish(core, LTP_STATE_HEALTHY);
    close_core(core);
    refuse_core(core);
  }
}

static ltp_page *open_page(const char *path) {
  ltp_page *page = NULL;
  REQUIRE_EQUAL(ltp_page_open(path, SECOND, &page, NULL), LTP_OK);
  return page;
}

static void stale_page(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/page", new_directory());
  ltp_page *stale = open_page(path);
  CHECK_EQUAL(ltp_page_close(stale), LTP_OK);
  ltp_page *page = open_page(path);
  REQUIRE(page != stale);
  CHECK_EQUAL(memory_of(page), memory_of(stale));
  ltp_transition change = {.struct_size = sizeof change, .to = 1, .reason = LTP_SIGNAL_OPERATOR};
  ltp_page_reading reading = {0};
  CHECK_EQUAL(ltp_page_publish(stale, &change, NULL), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_page_renew(stale), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_page_read(stale, &reading, sizeof reading), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_page_wait(stale, &reading, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_page_close(stale), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_page_publish(page, &change, NULL), LTP_OK);
  CHECK_EQUAL(ltp_page_close(page), LTP_OK);
}

/* The memory that was closed first is used first: a stale handle is told for as long as can be. */
static void oldest_memory_first(void) {
  enum { COUNT = 6 };
  char path[300];
  snprintf(path, sizeof path, "%s/page", new_directory());
  ltp_page *pages[COUNT];
  for (int index = 0; index < COUNT; index++) {
    pages[index] = index == 0 ? open_page(path) : NULL;
    if (index > 0) REQUIRE_EQUAL(ltp_page_open_reader(path, 0, &pages[index], NULL), LTP_OK);
  }
  for (int index = 1; index < COUNT; index++) CHECK_EQUAL(ltp_page_close(pages[index]), LTP_OK);
  for (int index = 1; index < COUNT; index++) {
    ltp_page *page = NULL;
    REQUIRE_EQUAL(ltp_page_open_reader(path, 0, &page, NULL), LTP_OK);
    CHECK_EQUAL(memory_of(page), memory_of(pages[index]));
    CHECK(page != pages[index]);
    CHECK_EQUAL(ltp_page_close(pages[index]), LTP_ERROR_BAD_HANDLE);
  }
  CHECK_EQUAL(ltp_page_close(pages[0]), LTP_OK);
}

/* More uses than there are generations: the memory retires, and the first handle is as stale as ever. */
static void generations_run_out(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/page", new_directory());
  ltp_page *first = open_page(path), *page = NULL;
  CHECK_EQUAL(ltp_page_close(first), LTP_OK);
  int elsewhere = 0;
  for (int round = 0; round < 5000; round++) {
    REQUIRE_EQUAL(ltp_page_open_reader(path, 0, &page, NULL), LTP_OK);
    REQUIRE(page != first);
    elsewhere += memory_of(page) != memory_of(first);
    CHECK_EQUAL(ltp_page_close(first), LTP_ERROR_BAD_HANDLE);
    REQUIRE_EQUAL(ltp_page_close(page), LTP_OK);
  }
  CHECK_EQUAL(elsewhere, 5000 - 4094);
}

/* In a child every handle is zeros, and what it opens itself is its own. */
static void in_a_child(void) {
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core), *closed = open_lane(core);
  CHECK_EQUAL(ltp_lane_close(closed), LTP_OK);
  settle(lane);
  const char *directory = new_directory();
  int child = fork();
  if (child == 0) {
    refuse_core(core);
    refuse_lane(lane);
    refuse_lane(closed);
    ltp_core *own = open_small(directory);
    ltp_lane *other = open_lane(own);
    CHECK(own != core && other != lane && other != closed);
    refuse_core(core);
    refuse_lane(lane);
    refuse_lane(closed);
    CHECK_EQUAL(ltp_lane_close(other), LTP_OK);
    close_core(own);
    _exit(check_status());
  }
  CHECK_EQUAL(wait_for(child), 0);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static const struct test tests[] = {
  {"a closed lane is not the next one", stale_lane},
  {"a closed lane is not the next core's", stale_lane_of_another_core},
  {"a closed core is not the next one", stale_core},
  {"a closed page is not the next one", stale_page},
  {"the longest closed is used first", oldest_memory_first},
  {"generations that run out", generations_run_out},
  {"a child's handles", in_a_child},
  {NULL, NULL},
};
const struct suite suite_handles = {"handles", tests};
