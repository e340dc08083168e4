/* SPDX-License-Identifier: Apache-2.0
 *
 * What it takes until a deferral may be acknowledged: by one caller alone, beside one data sync of the device, and by many who wait at
 * once.
 */
#define _GNU_SOURCE
#include "deferral_core.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES 4096
#define PROBE_BLOCKS 4096
/* Syncs and deferrals take turns of so many. */
#define TURN 32
#define WARM_UP_TURNS 4
#define INTENTS_A_SESSION 100
#define LANES_MAX 64

/* ---- One data sync ------------------------------------------------------------------------------------- */

/* A file whose blocks are on disk already, as the log's segments are, so that a sync writes data and nothing else. */
static int probe_open(const char *directory, char *block) {
  char name[4096];
  snprintf(name, sizeof name, "%s/sync-probe", directory);
  int file = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) fail("%s: %s", name, strerror(errno));
  /* It goes with the process. */
  unlink(name);
  for (int index = 0; index < PROBE_BLOCKS; index++)
    if (pwrite(file, block, BLOCK_BYTES, (off_t)index * BLOCK_BYTES) != BLOCK_BYTES) fail("the probe: %s", strerror(errno));
  if (fsync(file) != 0) fail("the probe: %s", strerror(errno));
  return file;
}

static uint64_t sync_once(int file, char *block, uint64_t number) {
  memcpy(block, &number, sizeof number);
  uint64_t began = now_ns();
  if (pwrite(file, block, BLOCK_BYTES, (off_t)(number % PROBE_BLOCKS) * BLOCK_BYTES) != BLOCK_BYTES || fdatasync(file) != 0)
    fail("the probe: %s", strerror(errno));
  return now_ns() - began;
}

/* ---- One caller alone ---------------------------------------------------------------------------------- */

static uint64_t defer_once(ltp_core *core, ltp_lane *lane, uint64_t number) {
  ltp_kept kept;
  uint64_t began = now_ns();
  while (!keep(lane, number / INTENTS_A_SESSION + 1, number + 1, &kept)) need(ltp_kept_want(core), "a wish"), usleep(20);
  need(ltp_kept_wait(core, kept.sequence, PATIENCE_NS), "a wait");
  return now_ns() - began;
}

void measure_alone(const char *directory, uint64_t seconds) {
  size_t capacity = 200000 * seconds + TURN, count = 0, taken = 0;
  uint64_t *syncs = malloc(capacity * sizeof *syncs), *deferrals = malloc(capacity * sizeof *deferrals);
  char *block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
  if (syncs == NULL || deferrals == NULL || block == NULL) fail("out of memory");
  memset(block, 1, BLOCK_BYTES);
  ltp_core *core = core_open(directory, capacity);
  ltp_lane *lane = lane_open(core);
  publish(core, LTP_STATE_UNSTABLE);
  int file = probe_open(directory, block);
  uint64_t until = now_ns() + seconds * 1000000000u;
  for (uint64_t turn = 0; now_ns() < until && taken + TURN <= capacity; turn++) {
    if (turn == WARM_UP_TURNS) count = 0;
    for (int index = 0; index < TURN; index++) syncs[count + (size_t)index] = sync_once(file, block, taken + (uint64_t)index);
    for (int index = 0; index < TURN; index++) deferrals[count + (size_t)index] = defer_once(core, lane, taken + (uint64_t)index);
    count += TURN, taken += TURN;
  }
  close(file);
  need_kept(core, taken, taken);
  need(ltp_lane_close(lane), "closing a lane");
  core_close(core);
  need_pending_after_reopening(directory, capacity, taken);
  spread sync = spread_of(syncs, count), deferral = spread_of(deferrals, count);
  figure("sync_us_median", sync.median);
  figure("sync_us_p99", sync.p99);
  figure("alone_us_median", deferral.median);
  figure("alone_us_p99", deferral.p99);
  figure("alone_over_sync", deferral.median / sync.median);
  figure("alone_p99_over_sync_p99", deferral.p99 / sync.p99);
  figure("kept", (double)taken);
}

/* ---- Many who wait ------------------------------------------------------------------------------------- */

typedef struct lane_place {
  ltp_lane *lane;
  pthread_mutex_t mutex; /* a lane is one thread's at a time */
} lane_place;

typedef struct many {
  ltp_core *core;
  lane_place *lanes;
  int lane_count;
  uint64_t later;
} many;

static void defer_among_many(void *context, int caller, uint64_t number) {
  many *all = context;
  lane_place *place = &all->lanes[caller % all->lane_count];
  uint64_t session = (uint64_t)caller << 32 | (number / INTENTS_A_SESSION + 1);
  ltp_kept kept;
  for (;;) {
    pthread_mutex_lock(&place->mutex);
    int is_kept = keep(place->lane, session, (uint64_t)caller << 32 | (number + 1), &kept);
    pthread_mutex_unlock(&place->mutex);
    if (is_kept) break;
    __atomic_fetch_add(&all->later, 1, __ATOMIC_RELAXED);
    need(ltp_kept_want(all->core), "a wish");
    usleep(50);
  }
  need(ltp_kept_wait(all->core, kept.sequence, PATIENCE_NS), "a wait");
}

void measure_crowd(const char *directory, uint64_t callers, uint64_t seconds, uint64_t lane_count) {
  static lane_place lanes[LANES_MAX];
  if (lane_count > LANES_MAX) fail("at most %d lanes", LANES_MAX);
  uint64_t capacity = 1000000 * seconds;
  if (capacity > 16000000) capacity = 16000000;
  many all = {.core = core_open(directory, capacity), .lanes = lanes, .lane_count = (int)lane_count};
  publish(all.core, LTP_STATE_UNSTABLE);
  for (int index = 0; index < all.lane_count; index++) {
    lanes[index].lane = lane_open(all.core);
    pthread_mutex_init(&lanes[index].mutex, NULL);
  }
  crowd crowd = {.callers = (int)callers, .seconds = (double)seconds, .once = defer_among_many, .context = &all};
  crowd_result result = crowd_run(&crowd);
  need_kept(all.core, result.jobs, result.jobs);
  for (int index = 0; index < all.lane_count; index++) need(ltp_lane_close(lanes[index].lane), "closing a lane");
  core_close(all.core);
  need_pending_after_reopening(directory, capacity, result.jobs);
  figure("crowd_per_second", (double)result.jobs / result.seconds);
  figure("crowd_us_median", result.waits.median);
  figure("crowd_us_p99", result.waits.p99);
  figure("crowd_processor_us", result.processor_us);
  figure("crowd_later", (double)all.later);
  figure("kept", (double)result.jobs);
}
