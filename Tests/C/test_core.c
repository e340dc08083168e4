/* SPDX-License-Identifier: Apache-2.0
 * Cores: options, orientation and its evidence, texts, closing. */
#include "check.h"
#include "support.h"

#include <stddef.h>
#include <string.h>

static void check_option(const ltp_core_options *options, const char *name) {
  ltp_core *core = NULL;
  ltp_error error;
  CHECK_EQUAL(ltp_core_open(options, &core, &error), LTP_ERROR_OPTION_RANGE);
  CHECK(core == NULL);
  CHECK_EQUAL(error.status, LTP_ERROR_OPTION_RANGE);
  CHECK_TEXT(error.message, name);
}

static void option_ranges(void) {
  const ltp_core_options good = small_options(new_directory());
#define REFUSED(field, value) \
  do {                        \
    ltp_core_options bad = good; \
    bad.field = value;        \
    check_option(&bad, #field); \
  } while (0)
  REFUSED(storage, 3);
  REFUSED(flags, 8);
  REFUSED(block_bytes, 8 << 10);
  REFUSED(block_bytes, 48 << 10);
  REFUSED(block_bytes, 2 << 20);
  REFUSED(segment_bytes, 128 << 10);
  REFUSED(segment_bytes, (1 << 20) + 1);
  REFUSED(segment_bytes, (uint64_t)2 << 30);
  REFUSED(lane_blocks, 1);
  REFUSED(lane_blocks, 1025);
  REFUSED(lanes_max, 0);
  REFUSED(lanes_max, 65);
  REFUSED(inflight_blocks_max, 0);
  REFUSED(inflight_blocks_max, 65);
  REFUSED(commit_interval_ns, 49999);
  REFUSED(commit_interval_ns, SECOND + 1);
  REFUSED(clock_interval_ns, 0);
  REFUSED(clock_interval_ns, SECOND + 1);
  REFUSED(lock_wait_ns, 60 * SECOND + 1);
#undef REFUSED
  ltp_core_options bad = good;
  bad.block_bytes = 512 << 10; /* not four to a segment */
  check_option(&bad, "segment_bytes");
  bad = good;
  bad.trace_directory = NULL;
  ltp_core *core = NULL;
  ltp_error error;
  CHECK_EQUAL(ltp_core_open(&bad, &core, &error), LTP_ERROR_NULL_ARGUMENT);
  CHECK_TEXT(error.message, "trace_directory");
  CHECK_EQUAL(count_files(good.trace_directory, ""), 2); /* "." and ".." */
}

/* A caller built against the first ltp.h, whose options ended with lock_wait_ns. */
static void an_older_caller(void) {
  const char *directory = new_directory();
  struct {
    _Alignas(8) uint8_t bytes[offsetof(ltp_core_options, orientation_page)];
    uint8_t behind[64];
  } older;
  memset(&older, 0xAA, sizeof older);
  ltp_core_options *options = (ltp_core_options *)(void *)older.bytes;
  REQUIRE_EQUAL(ltp_core_options_init(options, sizeof older.bytes), LTP_OK);
  CHECK_EQUAL(older.behind[0], 0xAA);
  memcpy(older.bytes + offsetof(ltp_core_options, trace_directory), &directory, sizeof directory);
  ltp_core *core = NULL;
  CHECK_EQUAL(ltp_core_open(options, &core, NULL), LTP_OK);
  close_core(core);
}

static void starts_unknown(void) {
  ltp_core *core = open_small(new_directory());
  ltp_orientation frame;
  REQUIRE_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(ltp_frame_check(&frame, sizeof frame, NULL), LTP_OK);
  CHECK_EQUAL(frame.to, LTP_STATE_UNKNOWN);
  CHECK_EQUAL(frame.reason, LTP_SIGNAL_CORE_STARTED);
  CHECK(frame.epoch > 0 && frame.continuity_epoch > 0 && frame.policy_generation == 1);
  close_core(core);
}

static ltp_transition transition_with_evidence(void) {
  ltp_transition change;
  memset(&change, 0, sizeof change);
  change.struct_size = sizeof change;
  change.to = LTP_STATE_SATURATED;
  change.reason = LTP_SIGNAL_QUEUE_LATENCY_SPIKE;
  change.evidence_count = 2;
  change.evidence[0].signal = LTP_SIGNAL_QUEUE_LATENCY_SPIKE;
  change.evidence[0].value = 5000;
  change.evidence[0].threshold = 1000;
  change.evidence[1].signal = LTP_SIGNAL_CPU_PRESSURE;
  change.evidence[1].value = 95;
  change.evidence[1].threshold = 90;
  strcpy(change.text, "queue of checkout");
  return change;
}

static void evidence(void) {
  ltp_core *core = open_small(new_directory());
  ltp_transition change = transition_with_evidence();
  REQUIRE_EQUAL(ltp_text_intern(core, "queue_depth", &change.evidence[0].name_id), LTP_OK);
  uint32_t epoch = 0;
  REQUIRE_EQUAL(ltp_orientation_publish(core, &change, &epoch), LTP_OK);
  ltp_orientation frame;
  REQUIRE_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.epoch, epoch);
  CHECK_EQUAL(frame.from, LTP_STATE_UNKNOWN);
  CHECK_EQUAL(frame.to, LTP_STATE_SATURATED);
  CHECK_EQUAL(frame.reason, LTP_SIGNAL_QUEUE_LATENCY_SPIKE);
  CHECK_EQUAL(frame.priority_threshold, 129);
  REQUIRE_EQUAL(frame.evidence_count, 2);
  CHECK(memcmp(frame.evidence, change.evidence, 2 * sizeof(ltp_evidence)) == 0);
  CHECK_EQUAL(frame.evidence[2].signal, 0);
  uint32_t next = publish(core, LTP_STATE_HEALTHY);
  CHECK_EQUAL(next, epoch + 1);
  REQUIRE_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
  CHECK_EQUAL(frame.from, LTP_STATE_SATURATED);
  CHECK_EQUAL(frame.evidence_count, 0);
  close_core(core);
}

static void bad_transitions(void) {
  ltp_core *core = open_small(new_directory());
  ltp_orientation before, after;
  REQUIRE_EQUAL(ltp_orientation_get(core, &before), LTP_OK);
#define REFUSED(field, value, status) \
  do {                                \
    ltp_transition bad = transition_with_evidence(); \
    bad.field = value;                \
    CHECK_EQUAL(ltp_orientation_publish(core, &bad, NULL), status); \
  } while (0)
  REFUSED(struct_size, 0, LTP_ERROR_STRUCT_SIZE);
  REFUSED(to, LTP_STATE_COUNT, LTP_ERROR_UNKNOWN_STATE);
  REFUSED(reason, LTP_SIGNAL_NONE, LTP_ERROR_UNKNOWN_SIGNAL);
  REFUSED(reason, LTP_SIGNAL_CORE_STARTED, LTP_ERROR_UNKNOWN_SIGNAL);
  REFUSED(reason, 200, LTP_ERROR_UNKNOWN_SIGNAL);
  REFUSED(reason, LTP_OBSERVATION_COUNT + 1, LTP_ERROR_UNKNOWN_SIGNAL);
  REFUSED(evidence_count, 4, LTP_ERROR_EVIDENCE_COUNT);
  REFUSED(evidence[1].signal, LTP_SIGNAL_NONE, LTP_ERROR_UNKNOWN_SIGNAL);
  REFUSED(evidence[1].signal, LTP_OBSERVATION_COUNT + 1, LTP_ERROR_UNKNOWN_SIGNAL);
  REFUSED(flags, 4, LTP_ERROR_OPTION_RANGE);
  REFUSED(reserved[2], 1, LTP_ERROR_OPTION_RANGE);
  /* What cannot be written into an orientation frame must not get into the orientation. */
  REFUSED(evidence[0].reserved[1], 1, LTP_ERROR_OPTION_RANGE);
#undef REFUSED
  REQUIRE_EQUAL(ltp_orientation_get(core, &after), LTP_OK);
  CHECK_EQUAL(after.epoch, before.epoch);
  /* Text without its terminating zero is cut, not read past. */
  ltp_transition full = transition_with_evidence();
  memset(full.text, 'x', sizeof full.text);
  /* Evidence beyond the count is not looked at, and goes nowhere. */
  full.evidence[2].value = 1;
  CHECK_EQUAL(ltp_orientation_publish(core, &full, NULL), LTP_OK);
  REQUIRE_EQUAL(ltp_orientation_get(core, &after), LTP_OK);
  CHECK_EQUAL(after.evidence[2].value, 0);
  close_core(core);
}

static void texts(void) {
  ltp_core *core = open_small(new_directory());
  uint32_t first = 0, second = 0, again = 0;
  CHECK_EQUAL(ltp_text_intern(core, "edge-1", &first), LTP_OK);
  CHECK_EQUAL(ltp_text_intern(core, "edge-10", &second), LTP_OK);
  CHECK_EQUAL(ltp_text_intern(core, "edge-1", &again), LTP_OK);
  CHECK(first != 0 && second != 0 && first != second);
  CHECK_EQUAL(again, first);
  char text[LTP_TEXT_BYTES_MAX + 2];
  memset(text, 'x', sizeof text);
  text[LTP_TEXT_BYTES_MAX] = 0;
  CHECK_EQUAL(ltp_text_intern(core, text, &again), LTP_OK);
  text[LTP_TEXT_BYTES_MAX] = 'x';
  text[LTP_TEXT_BYTES_MAX + 1] = 0;
  CHECK_EQUAL(ltp_text_intern(core, text, &again), LTP_ERROR_TEXT_TOO_LONG);
  int32_t status = LTP_OK;
  int count = 3;
  while (status == LTP_OK && count <= LTP_TEXT_COUNT_MAX) {
    char name[16] = "name-0000";
    for (int digit = 0, rest = count; digit < 4; digit++, rest /= 10)
      name[8 - digit] = (char)('0' + rest % 10);
    status = ltp_text_intern(core, name, &again);
    count += status == LTP_OK;
  }
  CHECK_EQUAL(status, LTP_ERROR_TEXTS_MAX);
  CHECK_EQUAL(count, LTP_TEXT_COUNT_MAX);
  CHECK_EQUAL(ltp_text_intern(core, "edge-10", &again), LTP_OK);
  CHECK_EQUAL(again, second);
  close_core(core);
}

static void closing(void) {
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 1, CLASS_PING);
  CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  ltp_error error;
  CHECK_EQUAL(ltp_core_close(core, 0, &error), LTP_ERROR_LANES_OPEN);
  CHECK_EQUAL(error.status, LTP_ERROR_LANES_OPEN);
  /* From then on everything is denied, and nothing new begins. */
  ltp_verdict verdict = admit(lane, &asked);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(verdict.reason, LTP_REASON_TRACE_BACKPRESSURE);
  CHECK_EQUAL(verdict.state, LTP_STATE_UNKNOWN);
  ltp_lane *other = NULL;
  CHECK_EQUAL(ltp_lane_open(core, &other, &error), LTP_ERROR_CLOSING);
  CHECK(other == NULL);
  ltp_transition change = transition_with_evidence();
  CHECK_EQUAL(ltp_orientation_publish(core, &change, NULL), LTP_ERROR_CLOSING);
  ltp_orientation frame;
  CHECK_EQUAL(ltp_orientation_get(core, &frame), LTP_ERROR_CLOSING);
  static ltp_policy policy;
  ltp_policy_default(&policy);
  CHECK_EQUAL(ltp_policy_load(core, &policy, NULL, NULL), LTP_ERROR_CLOSING);
  CHECK_EQUAL(status_of(core).backpressure_denied, 1);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  CHECK_EQUAL(ltp_core_close(core, 10 * SECOND, &error), LTP_OK);
  CHECK_EQUAL(error.status, LTP_OK);
  CHECK_EQUAL(ltp_core_close(core, 0, &error), LTP_ERROR_BAD_HANDLE);
}

static void lanes_max(void) {
  ltp_core_options options = small_options(new_directory());
  options.lanes_max = 3;
  ltp_core *core = open_core(&options);
  ltp_lane *lanes[3], *more = NULL;
  for (int index = 0; index < 3; index++) lanes[index] = open_lane(core);
  ltp_error error;
  CHECK_EQUAL(ltp_lane_open(core, &more, &error), LTP_ERROR_LANES_MAX);
  CHECK(more == NULL);
  CHECK_EQUAL(status_of(core).lanes_open, 3);
  CHECK_EQUAL(ltp_lane_close(lanes[1]), LTP_OK);
  CHECK_EQUAL(status_of(core).lanes_open, 2);
  /* The place is free once the trace has the lane's records. */
  int32_t status = LTP_ERROR_LANES_MAX;
  for (int tries = 0; tries < 5000 && status == LTP_ERROR_LANES_MAX; tries++) {
    status = ltp_lane_open(core, &lanes[1], &error);
    if (status != LTP_OK) sleep_ns(MILLISECOND);
  }
  CHECK_EQUAL(status, LTP_OK);
  for (int index = 0; index < 3; index++) CHECK_EQUAL(ltp_lane_close(lanes[index]), LTP_OK);
  close_core(core);
}

static const struct test tests[] = {
  {"each option out of range is named", option_ranges},
  {"a caller of an older header", an_older_caller},
  {"begins UNKNOWN", starts_unknown},
  {"evidence goes with a transition", evidence},
  {"bad transitions change nothing", bad_transitions},
  {"texts", texts},
  {"a closing core denies, and says what it waits for", closing},
  {"lanes are bounded and come back", lanes_max},
  {NULL, NULL},
};
const struct suite suite_core = {"core", tests};
