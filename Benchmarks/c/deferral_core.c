/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "deferral_core.h"

#include <string.h>
#include <unistd.h>

/* What is kept between two waits of one who does not wait for each: less than a block of 256 KiB. */
#define KEPT_AT_ONCE 512

void need(int32_t status, const char *what) {
  if (status != LTP_OK) fail("%s: %s", what, ltp_status_text(status));
}

ltp_core *core_open(const char *directory, uint64_t capacity) {
  static ltp_policy policy;
  need(ltp_policy_default(&policy), "the policy");
  memset(&policy.limits, 0, sizeof policy.limits);
  ltp_deferral_options deferral = {.struct_size = sizeof deferral, .capacity = (uint32_t)capacity, .bytes_max = UINT64_C(1) << 40};
  ltp_core_options options;
  need(ltp_core_options_init(&options, sizeof options), "the options");
  options.trace_directory = directory;
  options.policy = &policy;
  options.deferral = &deferral;
  options.lanes_max = 64;
  /* What is to be measured is waiting for the disk, not being denied because of it. */
  options.backpressure_wait_ns = PATIENCE_NS;
  ltp_core *core;
  ltp_error error;
  if (ltp_core_open(&options, &core, &error) != LTP_OK) fail("%s: %s", directory, error.message);
  return core;
}

ltp_lane *lane_open(ltp_core *core) {
  ltp_lane *lane;
  ltp_error error;
  if (ltp_lane_open(core, &lane, &error) != LTP_OK) fail("a lane: %s", error.message);
  return lane;
}

void core_close(ltp_core *core) {
  ltp_error error;
  if (ltp_core_close(core, PATIENCE_NS, &error) != LTP_OK) fail("closing: %s", error.message);
}

void publish(ltp_core *core, uint8_t state) {
  ltp_transition transition = {.struct_size = sizeof transition, .to = state};
  transition.reason = state == LTP_STATE_HEALTHY ? LTP_SIGNAL_METRICS_STABILIZED : LTP_SIGNAL_DB_WRITE_LATENCY;
  need(ltp_orientation_publish(core, &transition, NULL), "the orientation");
}

ltp_deferral_status deferral_status(ltp_core *core) {
  ltp_deferral_status status = {0};
  need(ltp_deferral_status_get(core, &status, sizeof status), "the deferral log's status");
  need(status.log_status, "the deferral log");
  return status;
}

ltp_route_request request_of(uint64_t frame, uint64_t session, uint8_t action_class) {
  ltp_route_request request;
  need(ltp_frame_init(&request, sizeof request, LTP_FRAME_ROUTE_REQUEST, 0), "a request");
  request.frame_id = frame, request.session_id = session, request.action_class = action_class, request.priority = 128;
  return request;
}

int keep(ltp_lane *lane, uint64_t session, uint64_t number, ltp_kept *kept) {
  char payload[PAYLOAD_BYTES];
  payload_write(payload, number);
  ltp_route_request request = request_of(number, session, CLASS_ORDER_CREATE);
  ltp_keep what = {.struct_size = sizeof what, .payload = payload, .payload_bytes = sizeof payload};
  ltp_verdict verdict;
  need(ltp_admit_keeping(lane, &request, sizeof request, &what, &verdict, kept), "keeping an intent");
  if (kept->result == LTP_KEPT_LATER) return 0;
  if (verdict.verdict != LTP_VERDICT_DEFER || kept->result != LTP_KEPT_NEW)
    fail("intent %llu was not kept: %s, %s", (unsigned long long)number, ltp_verdict_name(verdict.verdict),
      ltp_reason_name(verdict.reason));
  return 1;
}

void keep_many(ltp_core *core, ltp_lane *lane, uint64_t count, uint64_t sessions) {
  ltp_kept kept = {0};
  for (uint64_t number = 0; number < count; number++) {
    while (!keep(lane, number % sessions + 1, number + 1, &kept)) need(ltp_kept_want(core), "a wish"), usleep(100);
    if (number % KEPT_AT_ONCE == KEPT_AT_ONCE - 1) need(ltp_kept_wait(core, kept.sequence, PATIENCE_NS), "a wait");
  }
  need(ltp_kept_wait(core, kept.sequence, PATIENCE_NS), "a wait");
}

void need_kept(ltp_core *core, uint64_t pending, uint64_t kept) {
  ltp_deferral_status status = deferral_status(core);
  if (status.pending != pending || status.kept != kept)
    fail("%llu intents are pending and %llu were kept, not %llu and %llu", (unsigned long long)status.pending,
      (unsigned long long)status.kept, (unsigned long long)pending, (unsigned long long)kept);
}

void need_pending_after_reopening(const char *directory, uint64_t capacity, uint64_t pending) {
  ltp_core *core = core_open(directory, capacity);
  need_kept(core, pending, 0);
  core_close(core);
}
