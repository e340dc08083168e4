/* SPDX-License-Identifier: Apache-2.0
 *
 * What it takes until a caller may say that its decision is on disk: one caller alone, eight that wait at once, one beside a lane that is
 * flooded, and one that holds its answers in an event loop instead of waiting.
 *
 *   durable_waits DIRECTORY [ROUNDS]      microseconds: median, 99th percentile; bytes written for each wait
 */
#define _GNU_SOURCE
#include <ltp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LANES_MAX 9
#define FLOOD_BATCH 64

static int rounds = 2000;
static ltp_core *core;
static ltp_lane *lanes[LANES_MAX];
static volatile int is_over;

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void need(int32_t status, const char *what) {
  if (status == LTP_OK) return;
  fprintf(stderr, "durable_waits: %s: %s\n", what, ltp_status_text(status));
  exit(1);
}

static void decide(ltp_lane *lane, uint64_t frame) {
  ltp_route_request request;
  ltp_frame_init(&request, sizeof request, LTP_FRAME_ROUTE_REQUEST, 0);
  request.frame_id = frame, request.session_id = 1, request.action_class = 8;
  if (ltp_admit(lane, &request, sizeof request).verdict != LTP_VERDICT_EXECUTE) need(LTP_ERROR_BACKPRESSURE, "a decision");
}

/* One caller: decides, and waits for the disk. */
typedef struct caller {
  ltp_lane *lane;
  uint64_t *waits;
} caller;

static void *wait_each(void *argument) {
  caller *one = argument;
  for (int round = 0; round < rounds; round++) {
    uint64_t began = now_ns();
    decide(one->lane, (uint64_t)round + 1);
    need(ltp_lane_wait_durable(one->lane, ltp_lane_sequence(one->lane), UINT64_C(10000000000)), "a wait");
    one->waits[round] = now_ns() - began;
  }
  return NULL;
}

/* An event loop with one answer to hold at a time. */
static void *hold_each(void *argument) {
  caller *one = argument;
  int32_t descriptor;
  need(ltp_durable_descriptor(core, &descriptor), "the descriptor");
  for (int round = 0; round < rounds; round++) {
    uint64_t began = now_ns(), mark;
    decide(one->lane, (uint64_t)round + 1);
    mark = ltp_lane_sequence(one->lane);
    need(ltp_lane_want_durable(one->lane, mark), "a wish");
    while (ltp_lane_durable(one->lane) < mark) {
      struct pollfd source = {.fd = descriptor, .events = POLLIN};
      uint64_t count;
      if (poll(&source, 1, 10000) == 1) (void)!read(descriptor, &count, sizeof count);
    }
    one->waits[round] = now_ns() - began;
  }
  return NULL;
}

static void *flood(void *argument) {
  ltp_lane *lane = argument;
  static ltp_route_request requests[FLOOD_BATCH];
  static ltp_verdict verdicts[FLOOD_BATCH];
  for (int index = 0; index < FLOOD_BATCH; index++) {
    ltp_frame_init(&requests[index], sizeof requests[index], LTP_FRAME_ROUTE_REQUEST, 0);
    requests[index].frame_id = 1, requests[index].session_id = 2, requests[index].action_class = 8;
  }
  while (!is_over) ltp_admit_batch(lane, requests, sizeof *requests, FLOOD_BATCH, verdicts);
  return NULL;
}

static int ascending(const void *a, const void *b) {
  uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
  return (one > other) - (one < other);
}

static uint64_t written(void) {
  ltp_status status;
  need(ltp_core_status(core, &status, sizeof status), "the status");
  return status.bytes_written;
}

static void measure(const char *name, void *(*body)(void *), int callers, int first, int is_flooded) {
  uint64_t *waits = calloc((size_t)callers * (size_t)rounds, sizeof *waits);
  pthread_t threads[LANES_MAX], flooder;
  caller all[LANES_MAX];
  is_over = 0;
  if (is_flooded) pthread_create(&flooder, NULL, flood, lanes[0]);
  if (is_flooded) usleep(200000);
  uint64_t before = written();
  for (int index = 0; index < callers; index++) {
    all[index] = (caller){lanes[first + index], waits + (size_t)index * (size_t)rounds};
    pthread_create(&threads[index], NULL, body, &all[index]);
  }
  for (int index = 0; index < callers; index++) pthread_join(threads[index], NULL);
  uint64_t bytes = written() - before;
  is_over = 1;
  if (is_flooded) pthread_join(flooder, NULL);
  size_t count = (size_t)callers * (size_t)rounds;
  qsort(waits, count, sizeof *waits, ascending);
  printf("%-34s %9.1f %9.1f", name, (double)waits[count / 2] / 1e3, (double)waits[count * 99 / 100] / 1e3);
  if (is_flooded)
    printf("         -\n");
  else
    printf(" %9.1f\n", (double)bytes / (double)count);
  free(waits);
}

int main(int count, char **arguments) {
  if (count < 2) {
    fprintf(stderr, "usage: durable_waits DIRECTORY [ROUNDS]\n");
    return 2;
  }
  if (count > 2) rounds = atoi(arguments[2]);
  ltp_core_options options;
  ltp_core_options_init(&options, sizeof options);
  options.trace_directory = arguments[1];
  options.retain_segments = 4;
  ltp_error error;
  if (ltp_core_open(&options, &core, &error)) {
    fprintf(stderr, "durable_waits: %s\n", error.message);
    return 1;
  }
  ltp_transition healthy = {.struct_size = sizeof healthy, .to = LTP_STATE_HEALTHY, .reason = LTP_SIGNAL_METRICS_STABILIZED};
  need(ltp_orientation_publish(core, &healthy, NULL), "the orientation");
  for (int index = 0; index < LANES_MAX; index++) need(ltp_lane_open(core, &lanes[index], &error), "a lane");
  printf("%-34s %9s %9s %9s\n", "", "median us", "p99 us", "bytes");
  measure("one waits", wait_each, 1, 1, 0);
  measure("one holds, in an event loop", hold_each, 1, 1, 0);
  measure("eight wait", wait_each, 8, 1, 0);
  measure("one waits beside a flooded lane", wait_each, 1, 1, 1);
  measure("one holds beside a flooded lane", hold_each, 1, 1, 1);
  for (int index = 0; index < LANES_MAX; index++) ltp_lane_close(lanes[index]);
  return ltp_core_close(core, UINT64_C(10000000000), NULL) == LTP_OK ? 0 : 1;
}
