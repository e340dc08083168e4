/* SPDX-License-Identifier: Apache-2.0
 * How kept intents end, and what is there of them after a kill. */
#define _GNU_SOURCE
#include "check.h"
#include "support_deferral.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every way to end, and what its sender is told afterwards. */
static void every_end(void) {
  open_deferring(new_directory(), &usual);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_kept kept[5], again;
  for (uint64_t index = 0; index < 5; index++) {
    ltp_route_request asked = request(1, 1 + index, CLASS_ORDER_CREATE);
    ltp_keep what = {.struct_size = sizeof what, .payload = "x", .payload_bytes = 1, .attempts_max = 2};
    if (index == 0) what.expires_after_ms = 20;
    ltp_verdict verdict;
    REQUIRE_EQUAL(ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept[index]), LTP_OK);
    CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DEFER);
  }
  CHECK_EQUAL(ltp_intent_end(core, kept[1].ticket, LTP_END_CANCELLED), LTP_OK);
  CHECK_EQUAL(ltp_intent_end(core, kept[1].ticket, LTP_END_CANCELLED), LTP_ERROR_INTENT_ENDED);
  CHECK_EQUAL(ltp_intent_end(core, kept[2].ticket, LTP_END_ATTEMPTS), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_intent_end(core, kept[2].ticket, LTP_END_EXPIRED), LTP_OK);
  uint64_t until = monotonic_ns() + 20 * SECOND;
  while (deferral_status().expired < 2 && monotonic_ns() < until) sleep_ns(MILLISECOND);
  publish(core, LTP_STATE_HEALTHY);
  char payload[8];
  ltp_handout handout;
  for (int attempt = 1; attempt <= 2; attempt++) {
    REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
    while (handout.ticket != kept[3].ticket) {
      CHECK_EQUAL(ltp_intent_abandon(core, handout.ticket, handout.attempt), LTP_OK);
      REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
    }
    CHECK_EQUAL(handout.attempt, attempt);
    CHECK_EQUAL(handout.may_have_happened, 0);
    CHECK_EQUAL(ltp_intent_release(core, handout.ticket, handout.attempt, 0), LTP_OK);
  }
  static const uint8_t ends[5] = {
    LTP_END_EXPIRED, LTP_END_CANCELLED, LTP_END_EXPIRED, LTP_END_ATTEMPTS, LTP_END_ABANDONED};
  for (uint64_t index = 0; index < 5; index++) {
    ltp_verdict verdict = order(1, 1 + index, "x", &again);
    CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
    CHECK_EQUAL(verdict.reason, LTP_REASON_INTENT_ENDED);
    CHECK_EQUAL(again.end, ends[index]);
    ltp_intent intent;
    REQUIRE_EQUAL(ltp_intent_get(core, kept[index].ticket, &intent), LTP_OK);
    CHECK_EQUAL(intent.state, LTP_INTENT_OVER);
    CHECK_EQUAL(intent.end, ends[index]);
  }
  ltp_intent list[3];
  uint64_t place = 0;
  size_t count = 0, total = 0;
  do {
    REQUIRE_EQUAL(ltp_intent_list(core, &place, list, 3, &count), LTP_OK);
    total += count;
  } while (count > 0);
  CHECK_EQUAL(total, 5);
  CHECK_TEXT(ltp_end_name(LTP_END_ATTEMPTS), "ATTEMPTS_USED_UP");
  CHECK_TEXT(ltp_commitment_text(LTP_COMMITMENT_WHEN_STABLE), "retry");
  end_deferring();
}

/* Full: in all, for one session, and by bytes. */
static void bounds(void) {
  ltp_deferral_options small = usual;
  small.capacity = 4, small.per_session_max = 2, small.bytes_max = 100, small.payload_bytes_max = 60;
  open_deferring(new_directory(), &small);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_kept kept;
  CHECK_EQUAL(order(1, 1, "a", &kept).verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(order(2, 1, "a", &kept).verdict, LTP_VERDICT_DEFER);
  ltp_verdict verdict = order(3, 1, "a", &kept);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(verdict.reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK(verdict.retry_after_ms > 0);
  CHECK_EQUAL(kept.result, LTP_KEPT_FULL);
  CHECK_EQUAL(kept.ticket, 0);
  static const char fifty[] = "12345678901234567890123456789012345678901234567890";
  CHECK_EQUAL(order(1, 2, fifty, &kept).verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(order(1, 3, fifty, &kept).reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK_EQUAL(order(1, 4, "a", &kept).verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(order(1, 5, "a", &kept).reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK_EQUAL(deferral_status().refused_full, 3);
  /* What has ended makes room once that is on disk, and is forgotten first. */
  CHECK_EQUAL(ltp_intent_end(core, kept.ticket, LTP_END_CANCELLED), LTP_ERROR_TICKET);
  CHECK_EQUAL(order(1, 4, "a", &kept).reason, LTP_REASON_INTENT_PENDING);
  CHECK_EQUAL(ltp_intent_end(core, kept.ticket, LTP_END_CANCELLED), LTP_OK);
  uint64_t until = monotonic_ns() + 20 * SECOND;
  while ((verdict = order(1, 5, "a", &kept)).verdict != LTP_VERDICT_DEFER && monotonic_ns() < until) sleep_ns(MILLISECOND);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DEFER);
  end_deferring();
}

static ltp_verdict order_of(uint64_t frame, uint64_t session, uint32_t tenant, const char *payload) {
  ltp_route_request asked = request(frame, session, CLASS_ORDER_CREATE);
  asked.tenant_id = tenant;
  ltp_kept kept;
  return ask_keeping(asked, payload, &kept);
}

/* Each tenant and each session has a share, by count and by bytes, which an intent's end gives back. */
static void shares(void) {
  ltp_deferral_options shared = usual;
  shared.per_tenant_max = 2, shared.tenant_bytes_max = 10, shared.session_bytes_max = 8;
  const char *directory = new_directory();
  open_deferring(directory, &shared);
  publish(core, LTP_STATE_UNSTABLE);
  CHECK_EQUAL(order_of(1, 1, 7, "a").verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(order_of(1, 2, 7, "a").verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(order_of(1, 3, 7, "a").reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK_EQUAL(order_of(1, 3, 8, "1234567").verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(order_of(1, 4, 8, "1234").reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK_EQUAL(order_of(2, 3, 9, "12").reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK_EQUAL(order_of(2, 3, 9, "1").verdict, LTP_VERDICT_DEFER);
  /* Nobody's tenant has no share. */
  for (uint64_t session = 10; session < 20; session++)
    CHECK_EQUAL(order_of(1, session, 0, "12345678").verdict, LTP_VERDICT_DEFER);
  CHECK_EQUAL(deferral_status().refused_full, 3);
  ltp_intent list[4];
  uint64_t place = 0;
  size_t count = 0;
  REQUIRE_EQUAL(ltp_intent_list(core, &place, list, 4, &count), LTP_OK);
  CHECK_EQUAL(list[0].session_id, 1);
  CHECK_EQUAL(ltp_intent_end(core, list[0].ticket, LTP_END_CANCELLED), LTP_OK);
  CHECK_EQUAL(order_of(1, 5, 7, "a").verdict, LTP_VERDICT_DEFER);
  end_deferring();
  /* And a process later they are the same. */
  open_deferring(directory, &shared);
  publish(core, LTP_STATE_UNSTABLE);
  CHECK_EQUAL(order_of(1, 6, 7, "a").reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK_EQUAL(order_of(1, 6, 8, "1234").reason, LTP_REASON_DEFER_QUEUE_FULL);
  CHECK_EQUAL(order_of(1, 6, 8, "123").verdict, LTP_VERDICT_DEFER);
  end_deferring();
}

/* An operator makes an intent due that waits for an hour; not one that a worker has, or that has ended. */
static void hastened(void) {
  const char *directory = new_directory();
  open_deferring(directory, &usual);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_kept kept;
  order(1, 1, "x", &kept);
  CHECK_EQUAL(ltp_intent_hasten(core, kept.ticket + 1), LTP_ERROR_TICKET);
  publish(core, LTP_STATE_HEALTHY);
  char payload[8];
  ltp_handout handout;
  REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(ltp_intent_hasten(core, kept.ticket), LTP_ERROR_NOT_YOURS);
  CHECK_EQUAL(ltp_intent_release(core, handout.ticket, handout.attempt, 3600000), LTP_OK);
  sleep_ns(5 * MILLISECOND);
  CHECK_EQUAL(ltp_intent_begin(lane, &handout, payload, sizeof payload), LTP_ERROR_NOTHING_DUE);
  CHECK_EQUAL(ltp_intent_hasten(core, kept.ticket), LTP_OK);
  REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(handout.attempt, 2);
  CHECK_EQUAL(handout.may_have_happened, 0);
  CHECK_EQUAL(ltp_intent_release(core, handout.ticket, handout.attempt, 3600000), LTP_OK);
  CHECK_EQUAL(ltp_intent_hasten(core, kept.ticket), LTP_OK);
  end_deferring();
  /* The step is of the log, so another run knows it. */
  open_deferring(directory, &usual);
  publish(core, LTP_STATE_HEALTHY);
  REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(handout.attempt, 3);
  CHECK_EQUAL(ltp_intent_commit(core, handout.ticket, handout.attempt), LTP_OK);
  CHECK_EQUAL(ltp_intent_hasten(core, kept.ticket), LTP_ERROR_INTENT_ENDED);
  end_deferring();
}

struct worker { int calls; int carried; };

static int32_t carry_out(void *context, const ltp_handout *handout, const void *payload) {
  struct worker *worker = context;
  CHECK_EQUAL(handout->payload_bytes, 1);
  CHECK(memcmp(payload, "x", 1) == 0);
  return worker->calls++ % 5 == 4 ? LTP_NOT_CARRIED_OUT : (worker->carried++, LTP_CARRIED_OUT);
}

/* A worker that dies with an intent: it is handed out again, with a word that it may have happened. */
static void leases(void) {
  ltp_deferral_options quick = usual;
  quick.lease_ms = 30;
  open_deferring(new_directory(), &quick);
  publish(core, LTP_STATE_UNSTABLE);
  ltp_kept kept;
  order(1, 1, "x", &kept);
  publish(core, LTP_STATE_HEALTHY);
  ltp_handout first, second;
  char payload[8];
  REQUIRE_EQUAL(begin_next(&first, payload, sizeof payload), LTP_OK);
  REQUIRE_EQUAL(begin_next(&second, payload, sizeof payload), LTP_OK);
  CHECK_EQUAL(second.ticket, first.ticket);
  CHECK_EQUAL(second.attempt, 2);
  CHECK_EQUAL(second.may_have_happened, 1);
  CHECK(memcmp(first.key, second.key, sizeof first.key) == 0);
  CHECK_EQUAL(ltp_intent_commit(core, first.ticket, first.attempt), LTP_ERROR_NOT_YOURS);
  CHECK_EQUAL(ltp_intent_commit(core, second.ticket, second.attempt), LTP_OK);
  /* And by a function of the host's. */
  publish(core, LTP_STATE_UNSTABLE);
  for (uint64_t session = 1; session <= 20; session++) order(2, session, "x", &kept);
  wait_kept(kept);
  publish(core, LTP_STATE_HEALTHY);
  struct worker worker = {0};
  size_t done = 0;
  CHECK_EQUAL(ltp_intent_run(lane, carry_out, &worker, 100, &done), LTP_OK);
  CHECK_EQUAL(done, 20);
  CHECK_EQUAL(worker.calls, 20);
  CHECK_EQUAL(deferral_status().committed, 17);
  CHECK_EQUAL(deferral_status().pending, 4);
  end_deferring();
}

/* What was acknowledged is there after a kill, with its ticket; leases are over; what was carried out is known. */
static void killed(void) {
  const char *directory = new_directory();
  int told[2];
  REQUIRE_EQUAL(pipe(told), 0);
  int child = fork();
  if (child == 0) {
    open_deferring(directory, &usual);
    publish(core, LTP_STATE_UNSTABLE);
    ltp_kept kept[40];
    for (uint64_t frame = 0; frame < 40; frame++) order(1 + frame, 1 + frame % 4, "payload", &kept[frame]);
    wait_kept(kept[39]);
    publish(core, LTP_STATE_HEALTHY);
    ltp_handout handout;
    char payload[16];
    for (int index = 0; index < 10; index++) {
      REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
      if (index < 6) CHECK_EQUAL(ltp_intent_commit(core, handout.ticket, handout.attempt), LTP_OK);
      if (index == 9) break;
    }
    wait_kept((ltp_kept){.sequence = deferral_status().sequence});
    if (write(told[1], kept, sizeof kept) != sizeof kept) _exit(3);
    pause();
  }
  ltp_kept kept[40];
  REQUIRE_EQUAL(read(told[0], kept, sizeof kept), sizeof kept);
  kill(child, SIGKILL);
  wait_for(child);
  /* Not without the log: what is pending would be silent. */
  ltp_core_options options = small_options(directory);
  ltp_error error;
  ltp_core *none;
  CHECK_EQUAL(ltp_core_open(&options, &none, &error), LTP_ERROR_DEFERRAL_APART);
  CHECK_TEXT(error.message, "options.deferral");
  open_deferring(directory, &usual);
  ltp_deferral_status status = deferral_status();
  CHECK_EQUAL(status.pending, 34);
  CHECK_EQUAL(status.remembered, 6);
  CHECK_EQUAL(status.begun, 0);
  publish(core, LTP_STATE_UNSTABLE);
  int same = 0, ended = 0;
  for (uint64_t frame = 0; frame < 40; frame++) {
    ltp_kept again;
    order(1 + frame, 1 + frame % 4, "payload", &again);
    CHECK_EQUAL(again.ticket, kept[frame].ticket);
    same += again.result == LTP_KEPT_SAME;
    ended += again.result == LTP_KEPT_ENDED && again.end == LTP_END_NONE;
  }
  CHECK_EQUAL(same, 34);
  CHECK_EQUAL(ended, 6);
  publish(core, LTP_STATE_HEALTHY);
  ltp_handout handout;
  char payload[16];
  int maybe = 0;
  uint64_t last[5] = {0};
  for (int index = 0; index < 34; index++) {
    REQUIRE_EQUAL(begin_next(&handout, payload, sizeof payload), LTP_OK);
    CHECK(memcmp(payload, "payload", 7) == 0);
    maybe += handout.may_have_happened;
    /* In the order in which they were sent. */
    CHECK(handout.request.frame_id > last[handout.request.session_id]);
    last[handout.request.session_id] = handout.request.frame_id;
    CHECK_EQUAL(ltp_intent_commit(core, handout.ticket, handout.attempt), LTP_OK);
  }
  /* The run before handed intents out, so each that was pending may have been one of them. */
  CHECK_EQUAL(maybe, 34);
  CHECK_EQUAL(deferral_status().pending, 0);
  end_deferring();
  /* Nothing is pending, so it may be opened without. */
  core = open_core(&options);
  close_core(core);
  open_deferring(directory, &usual);
  end_deferring();
  /* Restored apart: an older deferral log, none, or another trace's. */
  char command[512];
  snprintf(command, sizeof command, "rm -f %s/deferred-*", directory);
  REQUIRE_EQUAL(system(command), 0);
  ltp_core_options again = deferring(directory, &usual);
  CHECK_EQUAL(ltp_core_open(&again, &none, &error), LTP_ERROR_DEFERRAL_APART);
  CHECK_TEXT(error.message, "missing");
}

static const struct test tests[] = {
  {"every end, and what its sender is told", every_end},
  {"fault 29: full, in all, for a session and by bytes", bounds},
  {"fault 29: tenants and sessions have shares", shares},
  {"an operator makes an intent due", hastened},
  {"fault 28: a lease that runs out; a host's function", leases},
  {"faults 1, 28: killed with intents waiting, begun and carried out", killed},
  {NULL, NULL},
};
const struct suite suite_intent_ends = {"intent ends", tests};
