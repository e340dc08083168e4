/* SPDX-License-Identifier: Apache-2.0 */
#include "support_deferral.h"

#include "check.h"

#include <string.h>

ltp_core *core;
ltp_lane *lane;

ltp_core_options deferring(const char *directory, const ltp_deferral_options *deferral) {
  ltp_core_options options = small_options(directory);
  options.deferral = deferral;
  return options;
}

const ltp_deferral_options usual = {
  .struct_size = sizeof usual, .capacity = 1000, .segment_bytes = 1 << 20, .block_bytes = 64 << 10,
  .per_session_max = 50};

void open_deferring(const char *directory, const ltp_deferral_options *deferral) {
  ltp_core_options options = deferring(directory, deferral);
  core = open_core(&options);
  lane = open_lane(core);
}

void end_deferring(void) {
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

ltp_verdict ask_keeping(ltp_route_request asked, const char *payload, ltp_kept *kept) {
  ltp_keep what = {.struct_size = sizeof what, .payload = payload, .payload_bytes = strlen(payload)};
  ltp_verdict verdict;
  REQUIRE_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, kept), LTP_OK);
  return verdict;
}

ltp_verdict order(uint64_t frame, uint64_t session, const char *payload, ltp_kept *kept) {
  return ask_keeping(request(frame, session, CLASS_ORDER_CREATE), payload, kept);
}

void wait_kept(ltp_kept kept) { CHECK_EQUAL(ltp_kept_wait(core, kept.sequence, 20 * SECOND), LTP_OK); }

ltp_deferral_status deferral_status(void) {
  ltp_deferral_status status = {0};
  REQUIRE_EQUAL(ltp_deferral_status_get(core, &status, sizeof status), LTP_OK);
  return status;
}

int32_t begin_next(ltp_handout *handout, char *payload, size_t capacity) {
  uint64_t until = monotonic_ns() + 20 * SECOND;
  int32_t status;
  do {
    status = ltp_intent_begin(lane, handout, payload, capacity);
    if (status == LTP_ERROR_NOTHING_DUE || status == LTP_ERROR_BACKPRESSURE) sleep_ns(MILLISECOND);
  } while ((status == LTP_ERROR_NOTHING_DUE || status == LTP_ERROR_BACKPRESSURE) && monotonic_ns() < until);
  return status;
}
