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
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK_BYTES 4096
#define PROBE_BLOCKS 4096
/* Syncs and deferrals take turns of so many. */
#define TURN 16
#define INTENTS_A_SESSION 100
#define LANES_MAX 64

/* ---- One data sync ------------------------------------------------------------------------------------- */

/* A file whose blocks are on disk already, as the log's segments are, so that a sync writes data and nothing else. flags: more of
 * open()'s. */
static int probe_open(const char *directory, const char *file_name, int flags, char *block) {
  char name[4096];
  snprintf(name, sizeof name, "%s/%s", directory, file_name);
  int file = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
  if (file < 0) fail("%s: %s", name, strerror(errno));
  /* It goes with the process. */
  unlink(name);
  for (int index = 0; index < PROBE_BLOCKS; index++)
    if (pwrite(file, block, BLOCK_BYTES, (off_t)index * BLOCK_BYTES) != BLOCK_BYTES) fail("the probe: %s", strerror(errno));
  if (fsync(file) != 0) fail("the probe: %s", strerror(errno));
  return file;
}

/* ---- One caller alone ---------------------------------------------------------------------------------- */

typedef struct alone {
  ltp_core *core;
  ltp_lane *lane;
  int buffered, direct; /* probes */
  char *block;
} alone;

static void sync_once(alone *self, uint64_t number) {
  off_t offset = (off_t)(number % PROBE_BLOCKS) * BLOCK_BYTES;
  if (pwrite(self->buffered, self->block, BLOCK_BYTES, offset) != BLOCK_BYTES || fdatasync(self->buffered) != 0)
    fail("the probe: %s", strerror(errno));
}

/* The way in which the log writes. */
static void sync_directly(alone *self, uint64_t number) {
  struct iovec part = {self->block, BLOCK_BYTES};
  if (pwritev2(self->direct, &part, 1, (off_t)(number % PROBE_BLOCKS) * BLOCK_BYTES, RWF_DSYNC) != BLOCK_BYTES)
    fail("the probe: %s", strerror(errno));
}

static void defer_once(alone *self, uint64_t number) {
  ltp_kept kept;
  while (!keep(self->lane, number / INTENTS_A_SESSION + 1, number + 1, &kept)) need(ltp_kept_want(self->core), "a wish"), usleep(20);
  need(ltp_kept_wait(self->core, kept.sequence, PATIENCE_NS), "a wait");
}

/* Times TURN calls into waits, and gives their median. */
static double take_turn(alone *self, void (*once)(alone *, uint64_t), uint64_t first, uint64_t *waits) {
  uint64_t sorted[TURN];
  for (uint64_t index = 0; index < TURN; index++) {
    uint64_t began = now_ns();
    memcpy(self->block, &began, sizeof began);
    once(self, first + index);
    waits[index] = now_ns() - began;
  }
  memcpy(sorted, waits, sizeof sorted);
  return spread_of(sorted, TURN).median;
}

enum { BUFFERED, DIRECT, DEFERRAL, KINDS };

void measure_alone(const char *directory, uint64_t seconds) {
  static void (*const once[KINDS])(alone *, uint64_t) = {sync_once, sync_directly, defer_once};
  size_t turns_max = 10000 * seconds, turns = 0, capacity = turns_max * TURN;
  uint64_t *waits[KINDS];
  double *ratios[DEFERRAL], medians[KINDS];
  for (int kind = 0; kind < KINDS; kind++)
    if ((waits[kind] = malloc(capacity * sizeof *waits[kind])) == NULL) fail("out of memory");
  for (int kind = 0; kind < DEFERRAL; kind++)
    if ((ratios[kind] = malloc(turns_max * sizeof *ratios[kind])) == NULL) fail("out of memory");
  alone self = {.core = core_open(directory, capacity), .block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES)};
  if (self.block == NULL) fail("out of memory");
  memset(self.block, 1, BLOCK_BYTES);
  self.lane = lane_open(self.core);
  publish(self.core, LTP_STATE_UNSTABLE);
  self.buffered = probe_open(directory, "sync-probe", 0, self.block);
  self.direct = probe_open(directory, "sync-probe-direct", O_DIRECT, self.block);
  uint64_t until = now_ns() + seconds * 1000000000u;
  /* The disk's speed drifts, so what is compared lies close together, and each of them comes first in its turn. */
  for (; now_ns() < until && turns < turns_max; turns++) {
    size_t first = turns * TURN;
    for (size_t place = 0; place < KINDS; place++) {
      size_t kind = (turns + place) % KINDS;
      medians[kind] = take_turn(&self, once[kind], first, waits[kind] + first);
      /* What the trace is told of the deferrals is written a millisecond later, and must not delay the next syncs. */
      if (kind == DEFERRAL) usleep(5000);
    }
    for (int kind = 0; kind < DEFERRAL; kind++) ratios[kind][turns] = medians[DEFERRAL] / medians[kind];
  }
  close(self.buffered);
  close(self.direct);
  need_kept(self.core, turns * TURN, turns * TURN);
  need(ltp_lane_close(self.lane), "closing a lane");
  core_close(self.core);
  need_pending_after_reopening(directory, capacity, turns * TURN);
  spread spreads[KINDS];
  for (int kind = 0; kind < KINDS; kind++) spreads[kind] = spread_of(waits[kind], turns * TURN);
  figure("sync_us_low", spreads[BUFFERED].low);
  figure("alone_us_low", spreads[DEFERRAL].low);
  figure("alone_low_over_sync_low", spreads[DEFERRAL].low / spreads[BUFFERED].low);
  figure("sync_us_median", spreads[BUFFERED].median);
  figure("sync_us_p99", spreads[BUFFERED].p99);
  figure("direct_sync_us_median", spreads[DIRECT].median);
  figure("direct_sync_us_p99", spreads[DIRECT].p99);
  figure("alone_us_median", spreads[DEFERRAL].median);
  figure("alone_us_p99", spreads[DEFERRAL].p99);
  figure("alone_over_sync", median_of(ratios[BUFFERED], turns));
  figure("alone_over_direct_sync", median_of(ratios[DIRECT], turns));
  figure("alone_p99_over_sync_p99", spreads[DEFERRAL].p99 / spreads[BUFFERED].p99);
  figure("kept", (double)(turns * TURN));
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
