/* SPDX-License-Identifier: Apache-2.0
 * The orientation page as a file: what is no page, whose it is, bytes that somebody else wrote, numbers at their end, and
 * callers' mistakes. */
#define _GNU_SOURCE
#include "check.h"
#include "support_page.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int32_t open_reader_status(const char *path, uint32_t flags) {
  ltp_page *page = NULL;
  ltp_error error;
  int32_t status = ltp_page_open_reader(path, flags, &page, &error);
  CHECK_EQUAL(error.status, status);
  if (status != LTP_OK) CHECK(error.message[0] != 0);
  if (page != NULL) ltp_page_close(page);
  ltp_core_options options = small_options(new_directory());
  options.orientation_page = path;
  options.flags = flags;
  ltp_core *core = NULL;
  CHECK_EQUAL(ltp_core_open(&options, &core, NULL), status);
  if (core != NULL) close_core(core);
  return status;
}

static int32_t open_publisher_status(const char *path) {
  ltp_page *page = NULL;
  int32_t status = ltp_page_open(path, SECOND, &page, NULL);
  CHECK_EQUAL(page != NULL, status == LTP_OK);
  if (page != NULL) ltp_page_close(page);
  return status;
}

static void put(const char *path, const void *bytes, size_t count, size_t offset) {
  int file = open(path, O_RDWR | O_CREAT, 0644);
  REQUIRE(file >= 0);
  REQUIRE(pwrite(file, bytes, count, (off_t)offset) == (ssize_t)count);
  close(file);
}

static void files_that_are_no_page(void) {
  const char *path = page_path();
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_FILE);
  CHECK_EQUAL(open_publisher_status("/nonexistent/page"), LTP_ERROR_PAGE_FILE);
  CHECK_EQUAL(open_publisher_status(getenv("LTP_TEST_DIRECTORY")), LTP_ERROR_PAGE_FILE);
  put(path, "x", 1, 0);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_FORMAT);
  CHECK_EQUAL(open_publisher_status(path), LTP_ERROR_PAGE_FORMAT);
  static uint8_t noise[2 * LTP_PAGE_BYTES];
  memset(noise, 0x5A, sizeof noise);
  put(path, noise, LTP_PAGE_BYTES, 0);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_FORMAT);
  CHECK_EQUAL(open_publisher_status(path), LTP_ERROR_PAGE_FORMAT);
  put(path, noise, sizeof noise, 0);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_FORMAT);
  REQUIRE_EQUAL(unlink(path), 0);
  /* Empty or blank: its maker died. Nothing to read yet, and a publisher makes a page of it. */
  put(path, "", 0, 0);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_FORMAT);
  CHECK_EQUAL(open_publisher_status(path), LTP_OK);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_OK);
  uint32_t version = LTP_PAGE_VERSION + 1;
  put(path, &version, sizeof version, offsetof(ltp_page_layout, version));
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_VERSION);
  CHECK_EQUAL(open_publisher_status(path), LTP_ERROR_PAGE_VERSION);
  REQUIRE_EQUAL(truncate(path, LTP_PAGE_BYTES - 1), 0);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_FORMAT);
  REQUIRE(unlink(path) == 0 && mkfifo(path, 0644) == 0);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_FORMAT);
  CHECK_EQUAL(open_publisher_status(path), LTP_ERROR_PAGE_FORMAT);
}

static void whose_file_it_is(void) {
  const char *path = page_path();
  CHECK_EQUAL(open_publisher_status(path), LTP_OK);
  REQUIRE_EQUAL(chmod(path, 0664), 0);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_WRITABLE);
  CHECK_EQUAL(open_publisher_status(path), LTP_ERROR_PAGE_WRITABLE);
  REQUIRE_EQUAL(chmod(path, 0640), 0);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_OK);
  /* One process at a time; its end ends it. */
  int ready[2];
  char byte = 0;
  REQUIRE_EQUAL(pipe(ready), 0);
  int process = fork();
  if (process == 0) {
    open_page(path, SECOND);
    if (write(ready[1], "r", 1) != 1) _exit(1);
    for (;;) pause();
  }
  REQUIRE(read(ready[0], &byte, 1) == 1);
  CHECK_EQUAL(open_publisher_status(path), LTP_ERROR_PAGE_LOCKED);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_OK);
  kill(process, SIGKILL);
  wait_for(process);
  CHECK_EQUAL(open_publisher_status(path), LTP_OK);
  if (geteuid() != 0) cannot_run("only root can give a file to another user");
  REQUIRE_EQUAL(chown(path, 12345, 12345), 0);
  CHECK_EQUAL(open_reader_status(path, 0), LTP_ERROR_PAGE_OWNER);
  CHECK_EQUAL(open_reader_status(path, LTP_OPEN_ANY_PAGE_OWNER), LTP_OK);
  CHECK_EQUAL(open_publisher_status(path), LTP_ERROR_PAGE_OWNER);
  /* As a user who may read it, and one who may not; root's page is everyone's to follow. */
  REQUIRE(chmod(path, 0644) == 0 && chmod(getenv("LTP_TEST_DIRECTORY"), 0755) == 0);
  char directory[280];
  snprintf(directory, sizeof directory, "%s", path);
  *strrchr(directory, '/') = 0;
  REQUIRE_EQUAL(chmod(directory, 0755), 0);
  process = fork();
  if (process == 0) {
    ltp_page *page = NULL;
    REQUIRE_EQUAL(setuid(54321), 0);
    CHECK_EQUAL(open_publisher_status(path), LTP_ERROR_PAGE_OWNER);
    CHECK_EQUAL(ltp_page_open_reader(path, 0, &page, NULL), LTP_ERROR_PAGE_OWNER);
    CHECK_EQUAL(ltp_page_open_reader(path, LTP_OPEN_ANY_PAGE_OWNER, &page, NULL), LTP_OK);
    CHECK_EQUAL(ltp_page_publish(page, NULL, NULL), LTP_ERROR_PAGE_READ_ONLY);
    _exit(check_status());
  }
  CHECK_EQUAL(wait_for(process), 0);
  REQUIRE_EQUAL(chown(path, 0, 0), 0);
  process = fork();
  if (process == 0) {
    ltp_page *page = NULL;
    REQUIRE_EQUAL(setuid(54321), 0);
    CHECK_EQUAL(ltp_page_open_reader(path, 0, &page, NULL), LTP_OK);
    _exit(check_status());
  }
  CHECK_EQUAL(wait_for(process), 0);
}

static ltp_page_layout *map_page(const char *path) {
  int file = open(path, O_RDWR);
  REQUIRE(file >= 0);
  void *base = mmap(NULL, LTP_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  REQUIRE(base != MAP_FAILED);
  close(file);
  return base;
}

/* Whoever can write the file can write anything: it is read as UNKNOWN, and nothing breaks. */
static void pages_that_somebody_wrote_to(void) {
  const char *path = page_path();
  ltp_page *page = open_page(path, 60 * SECOND);
  say(page, LTP_STATE_HEALTHY);
  ltp_page_layout *bytes = map_page(path), good;
  ltp_core *core = open_follower(path);
  ltp_lane *lane = open_lane(core);
  for (int what = 0; what < 11; what++) {
    uint32_t epoch = say(page, LTP_STATE_HEALTHY);
    CHECK_EQUAL(ask(lane, CLASS_READ).state, LTP_STATE_HEALTHY);
    good = *bytes;
    ltp_page_entry *entry = &bytes->entries[epoch % LTP_PAGE_ENTRIES];
    int is_format = what < 8;
    switch (what) {
    case 0: bytes->word |= 0xF; break; /* a state that is none */
    case 1: bytes->word = UINT64_MAX; break;
    case 2: entry->evidence_count = 4; break;
    case 3: entry->evidence[0].signal = 200; break;
    case 4: entry->reason = LTP_SIGNAL_CORE_STARTED; break;
    case 5: memset(entry->text, 'x', sizeof entry->text); break;
    case 6: entry->evidence[0].name_id = 1; break;
    case 7: entry->word = 0; break;
    case 8: entry->lease_until_ns = UINT64_MAX; break;
    case 9: bytes->boot_id[3] ^= 1; break;
    case 10: entry->lease_until_ns = 1; break;
    }
    ltp_page_reading reading;
    int32_t status = ltp_page_read(page, &reading, sizeof reading);
    CHECK_EQUAL(status, is_format ? LTP_ERROR_PAGE_FORMAT : LTP_OK);
    CHECK_EQUAL(reading.to, LTP_STATE_UNKNOWN);
    /* A new word is seen at once; what is behind the same word is read only with it. */
    if (what >= 2 && what < 8) {
      ltp_core *late = open_follower(path);
      ltp_lane *other = open_lane(late);
      CHECK_EQUAL(ask(other, CLASS_READ).state, LTP_STATE_UNKNOWN);
      ltp_lane_close(other);
      close_core(late);
    } else {
      for (int tries = 0; tries < 2000 && ask(lane, CLASS_READ).state != LTP_STATE_UNKNOWN; tries++) sleep_ns(MILLISECOND);
      CHECK_EQUAL(ask(lane, CLASS_READ).reason, LTP_REASON_ORIENTATION_UNKNOWN);
    }
    *bytes = good;
  }
  say(page, LTP_STATE_HEALTHY);
  CHECK_EQUAL(ask(lane, CLASS_READ).state, LTP_STATE_HEALTHY);
  /* Noise, all the time. */
  uint64_t random = 88172645463325252u;
  for (int round = 0; round < 20000; round++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    ((volatile uint8_t *)bytes)[64 + random % 1024] = (uint8_t)(random >> 32);
    ltp_verdict verdict = ask(lane, CLASS_READ);
    CHECK(verdict.state < LTP_STATE_COUNT && verdict.verdict < LTP_VERDICT_COUNT);
    ltp_page_reading reading;
    if (ltp_page_read(page, &reading, sizeof reading) == LTP_OK) CHECK(reading.to < LTP_STATE_COUNT);
  }
  ltp_lane_close(lane);
  close_core(core);
  ltp_page_close(page);
  munmap(bytes, LTP_PAGE_BYTES);
}

/* Numbers that have come to their end. */
static void ends_of_numbers(void) {
  const char *path = page_path();
  ltp_page *page = open_page(path, LTP_PAGE_LEASE_NS_MAX);
  say(page, LTP_STATE_HEALTHY);
  ltp_core *core = open_follower(path);
  ltp_lane *lane = open_lane(core);
  uint32_t epoch = ask(lane, CLASS_READ).epoch;
  /* The longest lease is believed, though a lane's clock is late. */
  for (uint32_t round = 1; round <= 20; round++) {
    say(page, LTP_STATE_HEALTHY);
    ltp_verdict verdict = ask(lane, CLASS_READ);
    CHECK_EQUAL(verdict.state, LTP_STATE_HEALTHY);
    CHECK_EQUAL(verdict.epoch, epoch + round);
    sleep_ns(2 * MILLISECOND);
  }
  ltp_page_layout *bytes = map_page(path);
  bytes->changes = UINT32_MAX;
  say(page, LTP_STATE_DEGRADED);
  CHECK_EQUAL(bytes->changes, 0);
  CHECK_EQUAL(ask(lane, CLASS_READ).state, LTP_STATE_DEGRADED);
  /* The numbers come round; 0 says that nothing is published, and is left out. */
  uint64_t last = bytes->word | (uint64_t)UINT32_MAX << 32;
  ltp_page_entry *entry = &bytes->entries[UINT32_MAX % LTP_PAGE_ENTRIES];
  *entry = bytes->entries[(bytes->word >> 32) % LTP_PAGE_ENTRIES];
  entry->word = bytes->word = last;
  CHECK_EQUAL(reading_of(page).to, LTP_STATE_DEGRADED);
  ltp_transition change = transition(LTP_STATE_FAILED);
  uint32_t first = 0;
  CHECK_EQUAL(ltp_page_publish(page, &change, &first), LTP_OK);
  CHECK_EQUAL(first, 1);
  CHECK_EQUAL(reading_of(page).to, LTP_STATE_FAILED);
  munmap(bytes, LTP_PAGE_BYTES);
  ltp_lane_close(lane);
  close_core(core);
  ltp_page_close(page);
}

static void *wait_long(void *pointer) {
  ltp_page_reading seen = reading_of(pointer);
  CHECK_EQUAL(ltp_page_wait(pointer, &seen, 20 * SECOND), LTP_OK);
  return NULL;
}

static void callers_mistakes(void) {
  const char *path = page_path();
  ltp_page *page = NULL, *reader = NULL;
  ltp_page_reading reading;
  ltp_transition change = transition(LTP_STATE_HEALTHY);
  CHECK_EQUAL(ltp_page_open(NULL, SECOND, &page, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_page_open(path, SECOND, NULL, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_page_open(path, LTP_PAGE_LEASE_NS_MIN - 1, &page, NULL), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_page_open(path, LTP_PAGE_LEASE_NS_MAX + 1, &page, NULL), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_page_open_reader(NULL, 0, &page, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_page_open_reader(path, 0, NULL, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_page_open_reader(path, 4, &page, NULL), LTP_ERROR_OPTION_RANGE);
  static _Alignas(4096) uint8_t zeros[4096];
  ltp_page *wrong[] = {NULL, (ltp_page *)(void *)zeros, (ltp_page *)(uintptr_t)0x1001};
  for (int index = 0; index < 3; index++) {
    CHECK_EQUAL(ltp_page_publish(wrong[index], &change, NULL), LTP_ERROR_BAD_HANDLE);
    CHECK_EQUAL(ltp_page_renew(wrong[index]), LTP_ERROR_BAD_HANDLE);
    CHECK_EQUAL(ltp_page_read(wrong[index], &reading, sizeof reading), LTP_ERROR_BAD_HANDLE);
    CHECK_EQUAL(ltp_page_wait(wrong[index], &reading, 0), LTP_ERROR_BAD_HANDLE);
    CHECK_EQUAL(ltp_page_close(wrong[index]), LTP_ERROR_BAD_HANDLE);
  }
  page = open_page(path, 60 * SECOND);
  CHECK_EQUAL(ltp_page_renew(page), LTP_ERROR_PAGE_UNPUBLISHED);
  CHECK_EQUAL(reading_of(page).epoch, 0);
  CHECK_EQUAL(reading_of(page).to, LTP_STATE_UNKNOWN);
  CHECK_EQUAL(ltp_page_publish(page, NULL, NULL), LTP_ERROR_NULL_ARGUMENT);
  change.evidence[0].name_id = 3;
  CHECK_EQUAL(ltp_page_publish(page, &change, NULL), LTP_ERROR_OPTION_RANGE);
  change = transition(LTP_STATE_COUNT);
  CHECK_EQUAL(ltp_page_publish(page, &change, NULL), LTP_ERROR_UNKNOWN_STATE);
  change = transition(LTP_STATE_HEALTHY);
  change.reason = LTP_SIGNAL_ORIENTATION_LOST;
  CHECK_EQUAL(ltp_page_publish(page, &change, NULL), LTP_ERROR_UNKNOWN_SIGNAL);
  change.struct_size = 8;
  CHECK_EQUAL(ltp_page_publish(page, &change, NULL), LTP_ERROR_STRUCT_SIZE);
  CHECK_EQUAL(ltp_page_read(page, NULL, sizeof reading), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_page_read(page, &reading, sizeof reading - 1), LTP_ERROR_STRUCT_SIZE);
  CHECK_EQUAL(ltp_page_wait(page, NULL, 0), LTP_ERROR_NULL_ARGUMENT);
  say(page, LTP_STATE_HEALTHY);
  REQUIRE_EQUAL(ltp_page_open_reader(path, 0, &reader, NULL), LTP_OK);
  CHECK_EQUAL(ltp_page_renew(reader), LTP_ERROR_PAGE_READ_ONLY);
  CHECK_EQUAL(ltp_page_publish(reader, &change, NULL), LTP_ERROR_PAGE_READ_ONLY);
  /* Not while somebody waits in it. */
  pthread_t thread;
  REQUIRE_EQUAL(pthread_create(&thread, NULL, wait_long, reader), 0);
  sleep_ns(20 * MILLISECOND);
  int32_t status = ltp_page_close(reader);
  CHECK_EQUAL(status, LTP_ERROR_IN_USE);
  say(page, LTP_STATE_FAILED);
  pthread_join(thread, NULL);
  CHECK_EQUAL(ltp_page_close(reader), LTP_OK);
  CHECK_EQUAL(ltp_page_close(reader), LTP_ERROR_BAD_HANDLE);
  int child = fork();
  if (child == 0) {
    CHECK_EQUAL(ltp_page_read(page, &reading, sizeof reading), LTP_ERROR_BAD_HANDLE);
    CHECK_EQUAL(ltp_page_publish(page, &change, NULL), LTP_ERROR_BAD_HANDLE);
    _exit(check_status());
  }
  CHECK_EQUAL(wait_for(child), 0);
  CHECK_EQUAL(ltp_page_close(page), LTP_OK);
}

static const struct test tests[] = {
  {"files that are no page", files_that_are_no_page},
  {"whose file it is, and who may write it", whose_file_it_is},
  {"pages that somebody else wrote to", pages_that_somebody_wrote_to},
  {"numbers that have come to their end", ends_of_numbers},
  {"callers' mistakes", callers_mistakes},
  {NULL, NULL},
};
const struct suite suite_page_file = {"page file", tests};
