/* SPDX-License-Identifier: Apache-2.0
 * Runs of a core on the same directory: what goes on, what ends with a run; rotation and retention. */
#define _GNU_SOURCE
#include "check.h"
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void restart(void) {
  static const uint8_t key[16] = "0123456789abcde";
  ltp_core_options options = small_options(new_directory());
  options.continuity_key = key;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 5, CLASS_ORDER_CANCEL);
  carry(&asked, shake_hands(lane, 5));
  ltp_verdict before = admit(lane, &asked);
  CHECK_EQUAL(before.verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
  for (int run = 0; run < 5; run++) {
    core = open_core(&options);
    lane = open_lane(core);
    ltp_orientation frame;
    REQUIRE_EQUAL(ltp_orientation_get(core, &frame), LTP_OK);
    CHECK_EQUAL(frame.to, LTP_STATE_UNKNOWN);
    CHECK(frame.epoch > before.epoch);
    uint32_t epoch = publish(core, LTP_STATE_HEALTHY);
    CHECK(epoch > frame.epoch);
    ltp_verdict verdict = admit(lane, &asked);
    CHECK_EQUAL(verdict.reason, LTP_REASON_REHANDSHAKE_REQUIRED);
    CHECK(verdict.policy_generation > before.policy_generation);
    before = verdict;
    CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
    close_core(core);
  }
}

static void two_cores(void) {
  ltp_core *one = open_small(new_directory()), *other = open_small(new_directory());
  ltp_lane *lane_one = open_lane(one), *lane_other = open_lane(other);
  publish(one, LTP_STATE_HEALTHY);
  publish(other, LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 5, CLASS_ORDER_CANCEL);
  carry(&asked, shake_hands(lane_one, 5));
  CHECK_EQUAL(admit(lane_one, &asked).verdict, LTP_VERDICT_EXECUTE);
  /* Each core has keys of its own, and an orientation of its own. */
  CHECK_EQUAL(admit(lane_other, &asked).reason, LTP_REASON_CONTINUITY_FORGED);
  publish(one, LTP_STATE_FAILED);
  asked.action_class = CLASS_READ;
  CHECK_EQUAL(admit(lane_one, &asked).verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(admit(lane_other, &asked).verdict, LTP_VERDICT_EXECUTE);
  ltp_lane_close(lane_one);
  ltp_lane_close(lane_other);
  close_core(one);
  close_core(other);
}

/* Opens a core under the key, and its lane, both HEALTHY; returns the verdict on a cancel that carries the token. */
static ltp_verdict ask_a_run(const char *directory, const uint8_t *key, const ltp_hello *shown, ltp_hello *granted) {
  ltp_core_options options = small_options(directory);
  options.continuity_key = key;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  ltp_route_request asked = request(1, 5, CLASS_ORDER_CANCEL);
  if (shown) carry(&asked, *shown);
  ltp_verdict verdict = admit(lane, &asked);
  if (granted) {
    carry(&asked, *granted = shake_hands(lane, 5));
    CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  }
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
  return verdict;
}

/* Under one key: another directory, the same run of a copied directory, a directory that was made anew. */
static void one_key_many_runs(void) {
  static const uint8_t key[16] = "0123456789abcde";
  char directory[256], copy[256], command[600];
  snprintf(directory, sizeof directory, "%s", new_directory());
  ltp_hello token, unused;
  ask_a_run(directory, key, NULL, &token);
  CHECK_EQUAL(ask_a_run(new_directory(), key, &token, NULL).reason, LTP_REASON_CONTINUITY_FORGED);
  /* Restored from a copy: the same log, the same number of the run. */
  snprintf(copy, sizeof copy, "%s", new_directory());
  snprintf(command, sizeof command, "cp %s/* %s/", directory, copy);
  REQUIRE_EQUAL(system(command), 0);
  ltp_hello before = token;
  CHECK_EQUAL(ask_a_run(directory, key, &before, &token).reason, LTP_REASON_REHANDSHAKE_REQUIRED);
  CHECK_EQUAL(ask_a_run(copy, key, &token, &unused).reason, LTP_REASON_CONTINUITY_FORGED);
  CHECK(unused.continuity_token != token.continuity_token);
  /* Made anew under its old name. */
  snprintf(command, sizeof command, "rm %s/*", copy);
  REQUIRE_EQUAL(system(command), 0);
  CHECK(ask_a_run(copy, key, &token, NULL).verdict == LTP_VERDICT_DENY);
  CHECK(ask_a_run(copy, key, &unused, NULL).verdict == LTP_VERDICT_DENY);
}

/* What a forgotten key looks like is refused; one different byte is enough to pass. */
static void no_key(void) {
  uint8_t key[16];
  ltp_core_options options = small_options(new_directory());
  options.continuity_key = key;
  static const uint8_t fillings[] = {0, 1, 0x20, 0xFF};
  for (size_t index = 0; index < sizeof fillings; index++) {
    memset(key, fillings[index], sizeof key);
    ltp_core *core = NULL;
    ltp_error error;
    CHECK_EQUAL(ltp_core_open(&options, &core, &error), LTP_ERROR_OPTION_RANGE);
    CHECK(core == NULL);
    CHECK_TEXT(error.message, "continuity_key");
    key[15] ^= 1;
    close_core(open_core(&options));
  }
}

/* A file of this size, filled with this byte but for the last one, with this mode. */
static void write_key(const char *path, size_t size, uint8_t filling, uint8_t last, mode_t mode) {
  unlink(path);
  int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  REQUIRE(file >= 0);
  for (size_t index = 0; index < size; index++) {
    uint8_t byte = index + 1 == size ? last : filling;
    REQUIRE_EQUAL(write(file, &byte, 1), 1);
  }
  REQUIRE_EQUAL(fchmod(file, mode), 0);
  close(file);
}

static void refuse_key(const char *path, const char *because) {
  uint8_t key[LTP_KEY_BYTES];
  memset(key, 0x5A, sizeof key);
  ltp_error error;
  CHECK_EQUAL(ltp_key_read(path, key, &error), LTP_ERROR_KEY_FILE);
  CHECK_EQUAL(error.status, LTP_ERROR_KEY_FILE);
  CHECK_TEXT(error.message, because);
  CHECK_EQUAL(ltp_key_read(path, key, NULL), LTP_ERROR_KEY_FILE);
  for (size_t index = 0; index < sizeof key; index++) CHECK_EQUAL(key[index], 0x5A);
}

static void key_files(void) {
  char path[300], link[308];
  snprintf(path, sizeof path, "%s/key", new_directory());
  snprintf(link, sizeof link, "%s.link", path);
  uint8_t key[LTP_KEY_BYTES];
  refuse_key(path, "cannot be opened");
  refuse_key(new_directory(), "not a regular file");
  REQUIRE_EQUAL(mkfifo(path, 0600), 0);
  refuse_key(path, "not a regular file");
  write_key(path, 16, 7, 8, 0600);
  ltp_error error;
  REQUIRE_EQUAL(ltp_key_read(path, key, &error), LTP_OK);
  CHECK(key[0] == 7 && key[15] == 8);
  /* What secrets are mounted as. */
  REQUIRE_EQUAL(symlink(path, link), 0);
  CHECK_EQUAL(ltp_key_read(link, key, &error), LTP_OK);
  static const mode_t good[] = {0400, 0440, 0640}, bad[] = {0604, 0602, 0620, 0666, 0644};
  for (size_t index = 0; index < sizeof good / sizeof *good; index++) {
    REQUIRE_EQUAL(chmod(path, good[index]), 0);
    CHECK_EQUAL(ltp_key_read(path, key, &error), LTP_OK);
  }
  for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
    REQUIRE_EQUAL(chmod(path, bad[index]), 0);
    refuse_key(path, "chmod 600");
  }
  static const size_t sizes[] = {0, 1, 15, 17, 33};
  for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
    write_key(path, sizes[index], 7, 8, 0600);
    refuse_key(path, "does not hold 16 bytes");
  }
  write_key(path, 16, 0, 0, 0600);
  refuse_key(path, "all equal");
  CHECK_EQUAL(ltp_key_read(NULL, key, &error), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_key_read(path, NULL, &error), LTP_ERROR_NULL_ARGUMENT);
  /* The key that was read is one that a core takes. */
  write_key(path, 16, 7, 8, 0600);
  REQUIRE_EQUAL(ltp_key_read(path, key, &error), LTP_OK);
  ltp_core_options options = small_options(new_directory());
  options.continuity_key = key;
  close_core(open_core(&options));
}

/* Decides until the trace has come to this segment. */
static void fill_segments(ltp_core *core, ltp_lane *lane, uint64_t segment) {
  for (int round = 0; round < 5000 && status_of(core).segment_index < segment; round++) {
    for (int index = 0; index < 500; index++) {
      ltp_route_request asked = request((uint64_t)index, 1, CLASS_PING);
      REQUIRE_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
    }
  }
  CHECK(status_of(core).segment_index >= segment);
  settle(lane);
}

static void rotation_and_retention(void) {
  ltp_core_options options = small_options(new_directory());
  options.segment_bytes = 512 << 10;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  fill_segments(core, lane, 9);
  CHECK(count_files(options.trace_directory, ".ltp") >= 10);
  ltp_lane_close(lane);
  close_core(core);
  CHECK_EQUAL(count_files(options.trace_directory, ".tmp"), 0);
  options.retain_segments = 3;
  options.flags = LTP_OPEN_VERIFY_TAIL;
  core = open_core(&options);
  lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  fill_segments(core, lane, 20);
  ltp_lane_close(lane);
  close_core(core);
  CHECK(count_files(options.trace_directory, ".ltp") <= 4);
  options.retain_segments = 0;
  options.retain_bytes = 5 * options.segment_bytes;
  options.flags = 0;
  core = open_core(&options);
  lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  fill_segments(core, lane, 30);
  ltp_lane_close(lane);
  close_core(core);
  CHECK(count_files(options.trace_directory, ".ltp") <= 6);
  core = open_core(&options);
  close_core(core);
}

static void many_lanes_one_after_the_other(void) {
  ltp_core *core = open_small(new_directory());
  publish(core, LTP_STATE_HEALTHY);
  for (int round = 0; round < 200; round++) {
    ltp_lane *lane = NULL;
    int32_t status = LTP_ERROR_LANES_MAX;
    for (int tries = 0; tries < 20000 && status == LTP_ERROR_LANES_MAX; tries++) {
      status = ltp_lane_open(core, &lane, NULL);
      if (status == LTP_ERROR_LANES_MAX) sleep_ns(MILLISECOND);
    }
    REQUIRE_EQUAL(status, LTP_OK);
    ltp_route_request asked = request((uint64_t)round, 1, CLASS_PING);
    CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
    CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  }
  close_core(core);
}

static const struct test tests[] = {
  {"epochs and generations grow over restarts, tokens end", restart},
  {"two cores share nothing", two_cores},
  {"tokens end with their run, under one key too", one_key_many_runs},
  {"a key whose bytes are all equal is none", no_key},
  {"a key file that could be no secret is refused, and says why", key_files},
  {"segments rotate and the oldest go", rotation_and_retention},
  {"lanes come and go", many_lanes_one_after_the_other},
  {NULL, NULL},
};
const struct suite suite_run = {"run", tests};
