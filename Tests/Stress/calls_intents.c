/* SPDX-License-Identifier: Apache-2.0
 * Calls of the mode "calls" with kept intents: kept on any lane, waited for, carried out, ended by whoever comes by. */
#define _GNU_SOURCE
#include "calls.h"

#include <string.h>

#define ORDER_CREATE 25

void keep_intent(struct caller *caller, ltp_lane *lane) {
  ltp_route_request asked;
  ltp_frame_init(&asked, sizeof asked, LTP_FRAME_ROUTE_REQUEST, 0);
  /* Few sessions and frames, so that the same is asked again, and its key is taken for something else. */
  asked.session_id = 1 + any(caller, 20), asked.frame_id = 1 + any(caller, 400);
  asked.action_class = ORDER_CREATE, asked.priority = 255;
  uint8_t payload[300];
  memset(payload, (int)asked.frame_id, sizeof payload);
  ltp_keep what = {.struct_size = sizeof what, .payload = payload, .payload_bytes = 1 + any(caller, sizeof payload)};
  if (seldom(caller, 4)) what.payload_bytes = 40;
  if (seldom(caller, 8)) what.expires_after_ms = 1 + any(caller, 30);
  if (seldom(caller, 32)) what.payload = NULL;
  ltp_verdict verdict;
  ltp_kept kept;
  int32_t status = ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept);
  EXPECT("ltp_admit_keeping", status, lane == NULL ? LTP_ERROR_BAD_HANDLE : LTP_OK, LTP_ERROR_PAYLOAD, LTP_ERROR_BAD_HANDLE);
  if (status != LTP_OK) return;
  int is_pending = kept.result == LTP_KEPT_NEW || kept.result == LTP_KEPT_SAME;
  if (is_pending != (verdict.verdict == LTP_VERDICT_DEFER) && kept.result != LTP_KEPT_NONE)
    stress_found("ltp_admit_keeping: verdict %d with result %d", verdict.verdict, kept.result);
  if (is_pending && kept.ticket == 0) stress_found("ltp_admit_keeping defers without a ticket");
  caller->ticket = kept.ticket;
  caller->kept_sequence = kept.sequence;
}

void carry_out_intent(struct caller *caller, ltp_lane *lane, ltp_core *core) {
  ltp_handout handout;
  uint8_t payload[300];
  int32_t status = ltp_intent_begin(lane, &handout, payload, sizeof payload - any(caller, 2) * 299);
  EXPECT("ltp_intent_begin", status, LTP_OK, LTP_ERROR_NOTHING_DUE, LTP_ERROR_BACKPRESSURE, LTP_ERROR_BUFFER_TOO_SMALL,
         LTP_ERROR_BAD_HANDLE);
  if (status != LTP_OK) return;
  for (uint64_t index = 0; index < handout.payload_bytes; index++)
    if (payload[index] != (uint8_t)handout.request.frame_id) stress_found("a payload is not what was kept");
  int32_t ended = seldom(caller, 4)   ? ltp_intent_release(core, handout.ticket, handout.attempt, any(caller, 5))
                  : seldom(caller, 8) ? ltp_intent_abandon(core, handout.ticket, handout.attempt)
                                      : ltp_intent_commit(core, handout.ticket, handout.attempt);
  EXPECT("ltp_intent_commit", ended, LTP_OK, LTP_ERROR_INTENT_ENDED, LTP_ERROR_NOT_YOURS, LTP_ERROR_TICKET,
         LTP_ERROR_BACKPRESSURE, GONE);
}

static int32_t done(void *context, const ltp_handout *handout, const void *payload) {
  (void)context, (void)handout, (void)payload;
  return LTP_CARRIED_OUT;
}

void run_intents(struct caller *caller, ltp_lane *lane) {
  int32_t status = ltp_intent_run(lane, done, NULL, any(caller, 4), NULL);
  EXPECT("ltp_intent_run", status, LTP_OK, LTP_ERROR_BACKPRESSURE, LTP_ERROR_BAD_HANDLE);
}

void look_at_intents(struct caller *caller, ltp_core *core) {
  uint64_t place = 0;
  size_t count = 0;
  ltp_intent intents[16];
  ltp_deferral_status status;
  EXPECT("ltp_intent_list", ltp_intent_list(core, &place, intents, 16, &count), LTP_OK, GONE);
  EXPECT("ltp_deferral_status_get", ltp_deferral_status_get(core, &status, sizeof status), LTP_OK, GONE);
  uint64_t ticket = count > 0 ? intents[any(caller, (uint32_t)count)].ticket : caller->ticket;
  EXPECT("ltp_intent_get", ltp_intent_get(core, ticket, intents), LTP_OK, LTP_ERROR_TICKET, GONE);
  if (seldom(caller, 4))
    EXPECT("ltp_intent_end", ltp_intent_end(core, ticket, LTP_END_CANCELLED), LTP_OK, LTP_ERROR_TICKET, LTP_ERROR_INTENT_ENDED,
           LTP_ERROR_BACKPRESSURE, GONE);
  if (seldom(caller, 4))
    EXPECT("ltp_intent_hasten", ltp_intent_hasten(core, ticket), LTP_OK, LTP_ERROR_TICKET, LTP_ERROR_INTENT_ENDED, LTP_ERROR_NOT_YOURS,
           LTP_ERROR_BACKPRESSURE, GONE);
  ltp_kept_durable(core);
  EXPECT("ltp_kept_want", ltp_kept_want(core), LTP_OK, GONE);
  EXPECT("ltp_kept_wait", ltp_kept_wait(core, caller->kept_sequence, any(caller, 3) * MILLISECOND), LTP_OK,
         LTP_ERROR_TIMED_OUT, LTP_ERROR_SEQUENCE_AHEAD, GONE);
}
