/* SPDX-License-Identifier: Apache-2.0 */
#include "support_page.h"
#include "check.h"

#include <stdio.h>

const char *page_path(void) {
  static char paths[4][280];
  static int count;
  REQUIRE(count < 4);
  char *path = paths[count++];
  snprintf(path, sizeof paths[0], "%s/page", new_directory());
  return path;
}

ltp_transition transition(uint8_t state) {
  ltp_transition change = {.struct_size = sizeof change, .to = state, .reason = LTP_SIGNAL_CPU_PRESSURE,
                           .evidence_count = 1};
  change.evidence[0] = (ltp_evidence){.signal = LTP_SIGNAL_CPU_PRESSURE, .value = 95, .threshold = 90};
  snprintf(change.text, sizeof change.text, "said in state %d", state);
  return change;
}

ltp_page *open_page(const char *path, uint64_t lease) {
  ltp_page *page = NULL;
  ltp_error error;
  int32_t status = ltp_page_open(path, lease, &page, &error);
  if (status != LTP_OK) fprintf(stderr, "    ltp_page_open: %s\n", error.message);
  REQUIRE_EQUAL(status, LTP_OK);
  return page;
}

uint32_t say(ltp_page *page, uint8_t state) {
  ltp_transition change = transition(state);
  uint32_t epoch = 0;
  CHECK_EQUAL(ltp_page_publish(page, &change, &epoch), LTP_OK);
  return epoch;
}

ltp_core *open_follower(const char *path) {
  ltp_core_options options = small_options(new_directory());
  options.orientation_page = path;
  return open_core(&options);
}

ltp_verdict ask(ltp_lane *lane, uint8_t action_class) {
  static uint64_t frame;
  ltp_route_request asked = request(++frame, 1, action_class);
  return admit(lane, &asked);
}

ltp_page_reading reading_of(ltp_page *page) {
  ltp_page_reading reading;
  REQUIRE_EQUAL(ltp_page_read(page, &reading, sizeof reading), LTP_OK);
  return reading;
}
