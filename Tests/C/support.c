/* SPDX-License-Identifier: Apache-2.0
 * Directories, cores, requests and clocks for the C tests. */
#define _GNU_SOURCE
#include "support.h"

#include "check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

const char *new_directory(void) {
  static char paths[40][256];
  static int count;
  REQUIRE(count < 40);
  char *path = paths[count++];
  const char *root = getenv("LTP_TEST_DIRECTORY");
  snprintf(path, sizeof paths[0], "%s/trace-XXXXXX", root ? root : "/tmp");
  REQUIRE(mkdtemp(path) != NULL);
  return path;
}

ltp_core_options small_options(const char *directory) {
  ltp_core_options options;
  REQUIRE_EQUAL(ltp_core_options_init(&options, sizeof options), LTP_OK);
  options.trace_directory = directory;
  options.segment_bytes = 1 << 20;
  options.block_bytes = 16 << 10;
  options.lane_blocks = 8;
  options.lanes_max = 8;
  /* The machine that runs the tests may be slow: a full ring is not what most of them are about. */
  options.backpressure_wait_ns = 20 * SECOND;
  return options;
}

ltp_core *open_core(const ltp_core_options *options) {
  ltp_core *core = NULL;
  ltp_error error;
  int32_t status = ltp_core_open(options, &core, &error);
  if (status != LTP_OK) fprintf(stderr, "    ltp_core_open: %s\n", error.message);
  REQUIRE_EQUAL(status, LTP_OK);
  REQUIRE(core != NULL);
  return core;
}

ltp_core *open_small(const char *directory) {
  ltp_core_options options = small_options(directory);
  return open_core(&options);
}

ltp_lane *open_lane(ltp_core *core) {
  ltp_lane *lane = NULL;
  REQUIRE_EQUAL(ltp_lane_open(core, &lane, NULL), LTP_OK);
  REQUIRE(lane != NULL);
  return lane;
}

ltp_lane *open_lane_patiently(ltp_core *core) {
  ltp_lane *lane = NULL;
  int32_t status;
  while ((status = ltp_lane_open(core, &lane, NULL)) == LTP_ERROR_LANES_MAX) sleep_ns(MILLISECOND);
  REQUIRE_EQUAL(status, LTP_OK);
  return lane;
}

void close_core(ltp_core *core) {
  ltp_error error;
  int32_t status = ltp_core_close(core, 10 * SECOND, &error);
  if (status != LTP_OK) fprintf(stderr, "    ltp_core_close: %s\n", error.message);
  CHECK_EQUAL(status, LTP_OK);
}

ltp_route_request request(uint64_t frame_id, uint64_t session_id, uint8_t action_class) {
  ltp_route_request asked;
  REQUIRE_EQUAL(ltp_frame_init(&asked, sizeof asked, LTP_FRAME_ROUTE_REQUEST, 0), LTP_OK);
  asked.frame_id = frame_id;
  asked.session_id = session_id;
  asked.action_class = action_class;
  asked.priority = 200;
  return asked;
}

ltp_verdict admit(ltp_lane *lane, const ltp_route_request *asked) {
  return ltp_admit(lane, asked, sizeof *asked);
}

ltp_hello shake_hands(ltp_lane *lane, uint64_t session_id) {
  static uint64_t nonce;
  ltp_hello hello, answer;
  REQUIRE_EQUAL(ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0), LTP_OK);
  hello.frame_id = session_id;
  hello.session_id = session_id;
  hello.client_nonce = __atomic_add_fetch(&nonce, 1, __ATOMIC_RELAXED);
  hello.version_min = LTP_PROTOCOL_VERSION;
  hello.version_max = LTP_PROTOCOL_VERSION;
  REQUIRE_EQUAL(ltp_hello_answer(lane, &hello, sizeof hello, &answer), LTP_OK);
  CHECK_EQUAL(ltp_frame_check(&answer, sizeof answer, NULL), LTP_OK);
  CHECK_EQUAL(answer.header.flags, LTP_HELLO_ANSWER);
  CHECK_EQUAL(answer.session_id, session_id);
  CHECK(answer.continuity_token != 0 && answer.incarnation != 0);
  return answer;
}

void carry(ltp_route_request *asked, ltp_hello granted) {
  asked->continuity_token = granted.continuity_token;
  asked->intent_epoch = granted.continuity_epoch;
  asked->incarnation = granted.incarnation;
  asked->domain = granted.domain;
}

uint32_t publish(ltp_core *core, uint8_t state) {
  ltp_transition change;
  memset(&change, 0, sizeof change);
  change.struct_size = sizeof change;
  change.to = state;
  change.reason = LTP_SIGNAL_OPERATOR;
  uint32_t epoch = 0;
  REQUIRE_EQUAL(ltp_orientation_publish(core, &change, &epoch), LTP_OK);
  return epoch;
}

ltp_status status_of(ltp_core *core) {
  ltp_status status;
  REQUIRE_EQUAL(ltp_core_status(core, &status, sizeof status), LTP_OK);
  return status;
}

void settle(ltp_lane *lane) {
  CHECK_EQUAL(ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), 20 * SECOND), LTP_OK);
}

uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void sleep_ns(uint64_t nanoseconds) {
  struct timespec duration = {
    .tv_sec = (time_t)(nanoseconds / SECOND), .tv_nsec = (long)(nanoseconds % SECOND)};
  nanosleep(&duration, NULL);
}

int wait_for(int process) {
  int status = 0;
  REQUIRE_EQUAL(waitpid(process, &status, 0), process);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int count_files(const char *directory, const char *ending) {
  DIR *opened = opendir(directory);
  REQUIRE(opened != NULL);
  int count = 0;
  for (struct dirent *entry = readdir(opened); entry != NULL; entry = readdir(opened)) {
    size_t length = strlen(entry->d_name), wanted = strlen(ending);
    count += length >= wanted && strcmp(entry->d_name + length - wanted, ending) == 0;
  }
  closedir(opened);
  return count;
}
