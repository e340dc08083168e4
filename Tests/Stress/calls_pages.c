/* SPDX-License-Identifier: Apache-2.0
 * Calls of the mode "calls" with pages, and those without any handle. */
#define _GNU_SOURCE
#include "calls.h"

#include <string.h>

/* ---- Pages ---- */

void open_page(struct caller *caller) {
  uint32_t place = any(caller, PAGES);
  int is_empty = SLOT_EMPTY;
  if (!__atomic_compare_exchange_n(
        &world.page_states[place], &is_empty, SLOT_BUSY, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
    return;
  ltp_page *page = NULL;
  int32_t result = place % 2 ? ltp_page_open_reader(world.page_path, 0, &page, NULL)
                             : ltp_page_open(world.page_path, MILLISECOND * (1 + any(caller, 50)), &page, NULL);
  EXPECT("ltp_page_open", result, LTP_OK, LTP_ERROR_PAGE_LOCKED);
  caller->opened_pages += result == LTP_OK;
  __atomic_store_n(&world.pages[place], page, __ATOMIC_RELEASE);
  __atomic_store_n(&world.page_states[place], result == LTP_OK ? SLOT_OPEN : SLOT_EMPTY, __ATOMIC_RELEASE);
}

static int32_t close_page_at(uint32_t place) {
  ltp_page *page = __atomic_load_n(&world.pages[place], __ATOMIC_ACQUIRE);
  int32_t result = ltp_page_close(page);
  EXPECT("ltp_page_close", result, LTP_OK, LTP_ERROR_IN_USE, LTP_ERROR_BAD_HANDLE);
  if (result != LTP_OK) return result;
  remember_closed(&world.closed_pages, page);
  __atomic_store_n(&world.pages[place], NULL, __ATOMIC_RELEASE);
  __atomic_store_n(&world.page_states[place], SLOT_EMPTY, __ATOMIC_RELEASE);
  return result;
}

void close_all_pages(void) {
  for (uint32_t place = 0; place < PAGES; place++)
    if (world.pages[place] != NULL && close_page_at(place) != LTP_OK) stress_found("a page does not close");
}

void close_page(struct caller *caller) {
  if (seldom(caller, 2)) told("ltp_page_close", 1, ltp_page_close(closed_handle(&world.closed_pages, caller)));
  else close_page_at(any(caller, PAGES));
}

void use_page(struct caller *caller) {
  int is_closed = seldom(caller, 8);
  ltp_page *page = is_closed ? closed_handle(&world.closed_pages, caller)
                             : __atomic_load_n(&world.pages[any(caller, PAGES)], __ATOMIC_ACQUIRE);
  ltp_transition change = a_transition(caller);
  /* A page's numbers run out sooner than a long run does. */
  if (!seldom(caller, 16)) change.flags &= ~LTP_TRANSITION_ADVANCE_CONTINUITY, change.to &= 1;
  ltp_page_reading reading = {0};
  int32_t results[4] = {
    ltp_page_publish(page, &change, NULL), ltp_page_renew(page), ltp_page_read(page, &reading, sizeof reading),
    ltp_page_wait(page, &reading, any(caller, 2) * MILLISECOND)};
  for (int index = 0; index < 4; index++) {
    told("a page's call", is_closed, results[index]);
    EXPECT("a page's call", results[index], TRANSITION_STATUSES, LTP_ERROR_BAD_HANDLE, LTP_ERROR_PAGE_READ_ONLY,
           LTP_ERROR_PAGE_UNPUBLISHED, LTP_ERROR_TIMED_OUT);
  }
}

/* ---- Without a handle ---- */

void use_throttle(struct caller *caller) {
  EXPECT("ltp_throttle_request", ltp_throttle_request(&world.throttle, 0), LTP_OK, LTP_ERROR_THROTTLED);
  EXPECT("ltp_throttle_retry", ltp_throttle_retry(&world.throttle, 0), LTP_OK, LTP_ERROR_RETRY_BUDGET);
  if (seldom(caller, 2)) EXPECT("ltp_throttle_accepted", ltp_throttle_accepted(&world.throttle, 0), LTP_OK);
  /* As long as a structure can say it is. */
  union {
    ltp_throttle_options fields;
    uint8_t bytes[4096];
  } options;
  memset(&options, 0, sizeof options);
  ltp_throttle own;
  ltp_throttle_options_init(&options.fields, sizeof options.fields);
  options.bytes[any(caller, sizeof options.fields)] = (uint8_t)any(caller, 256);
  EXPECT("ltp_throttle_init", ltp_throttle_init(&own, &options.fields), LTP_OK, LTP_ERROR_OPTION_RANGE, LTP_ERROR_STRUCT_SIZE);
}

void check_frames(struct caller *caller) {
  uint64_t words[LTP_FRAME_BYTES_MAX / 8];
  for (size_t index = 0; index < sizeof words / 8; index++) words[index] = seldom(caller, 2) ? next_random(&caller->random) : 0;
  ltp_frame_init(words, sizeof words, (uint8_t)any(caller, 9), (uint16_t)any(caller, 4));
  ltp_frame_error error;
  int32_t result = ltp_frame_check(words, any(caller, sizeof words + 1), &error);
  if (result != error.status) stress_found("ltp_frame_check: %d and %d", (int)result, (int)error.status);
}

void names(struct caller *caller) {
  uint8_t number = (uint8_t)any(caller, 256);
  if (ltp_state_name(number) == NULL || ltp_verdict_name(number) == NULL || ltp_reason_name(number) == NULL ||
      ltp_signal_name(number) == NULL || ltp_status_text(number) == NULL || ltp_version_string() == NULL ||
      ltp_abi_version() != LTP_ABI_VERSION)
    stress_found("a name is none");
  ltp_policy_default(&caller->policy);
  ltp_signal_rules rules;
  EXPECT("ltp_signal_rules_default", ltp_signal_rules_default(&rules, sizeof rules), LTP_OK);
  ltp_core_options options;
  EXPECT("ltp_core_options_init", ltp_core_options_init(&options, sizeof options), LTP_OK);
}
