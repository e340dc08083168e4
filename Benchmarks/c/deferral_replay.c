/* SPDX-License-Identifier: Apache-2.0
 *
 * Replay from a log that was just written, into a host that does nothing: each worker has a lane of its own, and begins and commits
 * intents until none is left. Each must come exactly once, with the payload that it was kept with.
 */
#define _GNU_SOURCE
#include "deferral_core.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS_MAX 16
#define INTENTS_A_SESSION 100

typedef struct replay {
  ltp_core *core;
  uint64_t count;
  uint64_t committed; /* by all workers */
  uint64_t gave_way;
  uint8_t *seen; /* by the number of the intent */
} replay;

typedef struct worker {
  replay *replay;
  ltp_lane *lane;
} worker;

/* Nothing can be handed out before the log's writer has made room. */
static void give_way(replay *all) {
  __atomic_fetch_add(&all->gave_way, 1, __ATOMIC_RELAXED);
  need(ltp_kept_want(all->core), "a wish");
  usleep(20);
}

static void check(replay *all, const ltp_handout *handout, const char *payload) {
  char expected[PAYLOAD_BYTES];
  uint64_t number = handout->request.frame_id;
  payload_write(expected, number);
  if (number == 0 || number > all->count || handout->payload_bytes != PAYLOAD_BYTES || memcmp(payload, expected, PAYLOAD_BYTES) != 0)
    fail("an intent came with another payload than it was kept with");
  if (__atomic_fetch_add(&all->seen[number - 1], 1, __ATOMIC_RELAXED) != 0) fail("an intent was handed out twice");
}

static void *work(void *argument) {
  worker *self = argument;
  replay *all = self->replay;
  /* For profiles. */
  pthread_setname_np(pthread_self(), "bench-worker");
  char payload[PAYLOAD_BYTES];
  while (__atomic_load_n(&all->committed, __ATOMIC_RELAXED) < all->count) {
    ltp_handout handout;
    int32_t status = ltp_intent_begin(self->lane, &handout, payload, sizeof payload);
    if (status == LTP_ERROR_NOTHING_DUE || status == LTP_ERROR_BACKPRESSURE) {
      give_way(all);
      continue;
    }
    need(status, "a hand-out");
    check(all, &handout, payload);
    while ((status = ltp_intent_commit(all->core, handout.ticket, handout.attempt)) == LTP_ERROR_BACKPRESSURE) give_way(all);
    need(status, "a commit");
    __atomic_fetch_add(&all->committed, 1, __ATOMIC_RELAXED);
  }
  return NULL;
}

void measure_replay(const char *directory, uint64_t count, uint64_t workers) {
  if (workers > WORKERS_MAX) fail("at most %d workers", WORKERS_MAX);
  replay all = {.core = core_open(directory, count), .count = count, .seen = calloc(count, 1)};
  if (all.seen == NULL) fail("out of memory");
  ltp_lane *lanes[WORKERS_MAX] = {0};
  for (uint64_t index = 0; index < workers; index++) lanes[index] = lane_open(all.core);
  publish(all.core, LTP_STATE_UNSTABLE);
  keep_many(all.core, lanes[0], count, (count + INTENTS_A_SESSION - 1) / INTENTS_A_SESSION);
  need_kept(all.core, count, count);
  publish(all.core, LTP_STATE_HEALTHY);
  worker all_workers[WORKERS_MAX];
  pthread_t threads[WORKERS_MAX];
  uint64_t processor = processor_ns(), began = now_ns();
  for (uint64_t index = 0; index < workers; index++) {
    all_workers[index] = (worker){&all, lanes[index]};
    if (pthread_create(&threads[index], NULL, work, &all_workers[index]) != 0) fail("no thread for a worker");
  }
  for (uint64_t index = 0; index < workers; index++) pthread_join(threads[index], NULL);
  uint64_t carried_out = now_ns() - began;
  need(ltp_kept_wait(all.core, deferral_status(all.core).sequence, PATIENCE_NS), "a wait");
  uint64_t durable = now_ns() - began;
  processor = processor_ns() - processor;
  need_kept(all.core, 0, count);
  ltp_deferral_status status = deferral_status(all.core);
  if (status.committed != count) fail("%llu were committed, not %llu", (unsigned long long)status.committed, (unsigned long long)count);
  for (uint64_t index = 0; index < workers; index++) need(ltp_lane_close(lanes[index]), "closing a lane");
  core_close(all.core);
  need_pending_after_reopening(directory, count, 0);
  free(all.seen);
  char name[64];
  snprintf(name, sizeof name, "replay_%d_per_second", (int)workers);
  figure(name, (double)count / ((double)durable / 1e9));
  snprintf(name, sizeof name, "replay_%d_processor_us", (int)workers);
  figure(name, (double)processor / 1e3 / (double)count);
  snprintf(name, sizeof name, "replay_%d_gave_way", (int)workers);
  figure(name, (double)all.gave_way);
  figure("replay_durable_after_last_ms", (double)(durable - carried_out) / 1e6);
  figure("kept", (double)count);
}
