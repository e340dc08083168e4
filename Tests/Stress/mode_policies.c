/* SPDX-License-Identifier: Apache-2.0
 * Policies and shadows are loaded in a loop while a lane decides and segments change. Blocks and segments are as small as
 * the options allow, so that each segment's beginning takes several blocks. The trace is closed and opened again in
 * rounds: to open it is to verify all of it. */
#define _GNU_SOURCE
#include "stress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Short enough that a round's trace fits a small disk. */
#define ROUND_NS (2 * SECOND)

struct setup {
  uint32_t block_bytes;
  int has_shadows;
};

static const struct setup setups[] = {{16u << 10, 0}, {32u << 10, 0}, {64u << 10, 1}, {16u << 10, 1}};
#define SETUP_COUNT (sizeof setups / sizeof *setups)

struct run {
  ltp_core *core;
  int has_shadows;
  atomic_int stop;
  uint64_t decided;
  uint64_t loaded;
  int32_t status;
};

static void *decide(void *argument) {
  struct run *run = argument;
  ltp_lane *lane = NULL;
  ltp_route_request request;
  run->status = ltp_lane_open(run->core, &lane, NULL);
  if (run->status != LTP_OK) return NULL;
  ltp_frame_init(&request, sizeof request, LTP_FRAME_ROUTE_REQUEST, 0);
  request.session_id = 1;
  while (!atomic_load(&run->stop)) {
    for (int number = 0; number < 100; number++) {
      request.frame_id++;
      request.action_class = (uint8_t)(request.frame_id % 60);
      ltp_admit(lane, &request, sizeof request);
      run->decided++;
    }
    /* The loads are to fill a good part of each segment. */
    stress_sleep_ns(20000);
  }
  run->status = ltp_lane_close(lane);
  return NULL;
}

static void load_policies(struct run *run, uint64_t until) {
  static ltp_policy policy;
  ltp_policy_default(&policy);
  for (uint64_t number = 0; stress_now_ns() < until; number++) {
    int32_t status;
    if (!run->has_shadows || number % 3 == 0) {
      status = ltp_policy_load(run->core, &policy, NULL, NULL);
    } else {
      status = ltp_policy_shadow(run->core, number % 3 == 1 ? &policy : NULL, NULL, NULL);
    }
    if (status == LTP_OK) run->loaded++;
  }
}

static void complain(const char *what, const char *directory, const ltp_error *error) {
  stress_found("%s in %s: status %d (%s), segment %llu, offset %llu, block %llu: %s", what, directory,
               (int)error->status, ltp_status_text(error->status), (unsigned long long)error->segment,
               (unsigned long long)error->offset, (unsigned long long)error->block_index, error->message);
}

static int32_t open_core(const char *directory, const struct setup *setup, ltp_core **core, ltp_error *error) {
  ltp_core_options options;
  int32_t status = ltp_core_options_init(&options, sizeof options);
  if (status != LTP_OK) return status;
  options.trace_directory = directory;
  options.segment_bytes = 512u << 10;
  options.block_bytes = setup->block_bytes;
  memset(error, 0, sizeof *error);
  return ltp_core_open(&options, core, error);
}

/* One trace: written under load, closed, opened again, closed. It is kept when there is something wrong with it. */
static void run_round(const char *directory, const struct setup *setup, uint64_t until, struct run *totals) {
  struct run run = {.has_shadows = setup->has_shadows};
  ltp_error error;
  pthread_t thread;
  if (open_core(directory, setup, &run.core, &error) != LTP_OK) {
    complain("not opened", directory, &error);
    return;
  }
  if (pthread_create(&thread, NULL, decide, &run) != 0) {
    stress_found("no thread can be started");
    return;
  }
  load_policies(&run, until);
  atomic_store(&run.stop, 1);
  pthread_join(thread, NULL);
  if (run.status != LTP_OK) stress_found("a lane's open or close: %s", ltp_status_text(run.status));
  if (ltp_core_close(run.core, 30 * SECOND, &error) != LTP_OK) {
    complain("not closed", directory, &error);
    return;
  }
  if (open_core(directory, setup, &run.core, &error) != LTP_OK) {
    complain("not opened again", directory, &error);
    return;
  }
  if (ltp_core_close(run.core, 30 * SECOND, &error) != LTP_OK) {
    complain("not closed again", directory, &error);
    return;
  }
  stress_remove(directory);
  totals->decided += run.decided;
  totals->loaded += run.loaded;
}

int stress_policies(const char *directory, unsigned seconds) {
  unsigned number = 0;
  for (size_t index = 0; index < SETUP_COUNT && stress_findings() == 0; index++) {
    const struct setup *setup = &setups[index];
    struct run totals = {0};
    unsigned rounds = 0;
    uint64_t end = stress_now_ns() + seconds * SECOND / SETUP_COUNT;
    do {
      uint64_t round_end = stress_now_ns() + ROUND_NS;
      const char *trace = stress_directory(directory, "trace", number++);
      run_round(trace, setup, round_end < end ? round_end : end, &totals);
      rounds++;
    } while (stress_now_ns() < end && stress_findings() == 0);
    printf("    block_bytes %u%s: %u traces, %llu policies loaded, %llu decisions\n", setup->block_bytes,
           setup->has_shadows ? " with shadows" : "", rounds, (unsigned long long)totals.loaded,
           (unsigned long long)totals.decided);
    fflush(stdout);
  }
  return 0;
}
