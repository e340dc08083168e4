/* SPDX-License-Identifier: Apache-2.0
 * Cores that the host drives: no thread, one descriptor to poll. */
#define _GNU_SOURCE
#include "check.h"
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int entries(const char *path) {
  DIR *directory = opendir(path);
  REQUIRE(directory != NULL);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

/* The process's own threads: the kernel's helpers for a ring's work ("iou-wrk-...") are listed beside them. */
static int own_threads(void) {
  DIR *directory = opendir("/proc/self/task");
  REQUIRE(directory != NULL);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char path[300], name[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
    FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
    if (file == NULL) continue;
    count += fgets(name, sizeof name, file) != NULL && strncmp(name, "iou-wrk", 7) != 0;
    fclose(file);
  }
  closedir(directory);
  return count;
}

static ltp_core_options driven_options(const char *directory) {
  ltp_core_options options = small_options(directory);
  options.flags = LTP_OPEN_HOST_DRIVEN;
  options.backpressure_wait_ns = 0;
  return options;
}

static ltp_core *open_driven(const char *directory) {
  ltp_core_options options = driven_options(directory);
  return open_core(&options);
}

static int descriptor_of(ltp_core *core) {
  int32_t descriptor = -1;
  CHECK_EQUAL(ltp_event_descriptor(core, &descriptor), LTP_OK);
  CHECK(descriptor >= 0);
  return descriptor;
}

/* A host's loop: decides a few, waits for its descriptors, polls. */
struct host {
  ltp_core *core;
  ltp_lane *lane;
  int epoll;
  uint64_t decided, denied, interrupted, woken;
};

static struct host new_host(ltp_core *core) {
  struct host host = {.core = core, .lane = open_lane(core), .epoll = epoll_create1(EPOLL_CLOEXEC)};
  struct epoll_event event = {.events = EPOLLIN};
  REQUIRE(host.epoll >= 0 && epoll_ctl(host.epoll, EPOLL_CTL_ADD, descriptor_of(core), &event) == 0);
  return host;
}

/* Decides once more, and sees to it that there is room, as a host with a slow disk must. */
static void decide(struct host *host) {
  ltp_route_request asked = request(++host->decided, 1, CLASS_STATUS);
  ltp_verdict verdict = admit(host->lane, &asked);
  while (verdict.reason == LTP_REASON_TRACE_BACKPRESSURE) {
    usleep(100);
    REQUIRE_EQUAL(ltp_poll(host->core), LTP_OK);
    verdict = admit(host->lane, &asked);
  }
  host->denied += verdict.verdict == LTP_VERDICT_DENY;
}

static void turn(struct host *host, int decisions) {
  for (int index = 0; index < decisions; index++) decide(host);
  struct epoll_event event;
  int ready = epoll_wait(host->epoll, &event, 1, 1000);
  host->interrupted += ready < 0 && errno == EINTR;
  host->woken += ready > 0;
  CHECK_EQUAL(ltp_poll(host->core), LTP_OK);
}

static void end(struct host *host) {
  CHECK_EQUAL(ltp_lane_close(host->lane), LTP_OK);
  close_core(host->core);
}

static void no_thread_and_one_descriptor(void) {
  const char *directory = new_directory();
  int descriptors = entries("/proc/self/fd"), threads = own_threads();
  struct host host = new_host(open_driven(directory));
  publish(host.core, LTP_STATE_HEALTHY);
  int least = 1000;
  for (int round = 0; round < 300; round++) {
    turn(&host, 200);
    int now = own_threads();
    /* The least: a helper of the kernel's gets its name a moment after it is there. */
    least = now < least ? now : least;
  }
  CHECK_EQUAL(least, threads);
  CHECK_EQUAL(host.denied, 0);
  CHECK_EQUAL(host.interrupted, 0);
  CHECK_EQUAL(host.woken, 300);
  ltp_status status = status_of(host.core);
  CHECK(status.blocks_durable > 50);
  CHECK(status.records_written > host.decided / 2);
  settle(host.lane);
  CHECK(ltp_lane_durable(host.lane) >= host.decided);
  end(&host);
  close(host.epoll);
  CHECK_EQUAL(entries("/proc/self/fd"), descriptors);
  /* What was written is a trace like any other. */
  ltp_core *core = open_small(directory);
  close_core(core);
}

static void waiting_drives(void) {
  ltp_core *core = open_driven(new_directory());
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  for (int round = 0; round < 50; round++) {
    ltp_route_request asked = request((uint64_t)round, 1, CLASS_STATUS);
    CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
    CHECK_EQUAL(ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), 20 * SECOND), LTP_OK);
    /* The first half before anyone has polled, and then with the ring. */
    if (round == 25) CHECK_EQUAL(ltp_poll(core), LTP_OK);
  }
  ltp_lane_close(lane);
  close_core(core);
}

static void time_moves_by_polling(void) {
  ltp_core *core = open_driven(new_directory());
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  CHECK_EQUAL(ltp_poll(core), LTP_OK);
  ltp_route_request asked = request(1, 1, CLASS_STATUS);
  asked.header.flags = LTP_REQUEST_HAS_DEADLINE;
  asked.deadline_ns = monotonic_ns() + MILLISECOND;
  sleep_ns(3 * MILLISECOND);
  CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(ltp_poll(core), LTP_OK);
  CHECK_EQUAL(admit(lane, &asked).reason, LTP_REASON_DEADLINE_EXCEEDED);
  /* Without polls the ring fills up, and then it is refused what cannot be recorded. */
  ltp_verdict verdict = {0};
  for (int index = 0; index < 10000 && verdict.reason != LTP_REASON_TRACE_BACKPRESSURE; index++) {
    asked = request(2, 1, CLASS_STATUS);
    verdict = admit(lane, &asked);
  }
  CHECK_EQUAL(verdict.reason, LTP_REASON_TRACE_BACKPRESSURE);
  settle(lane);
  CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  ltp_lane_close(lane);
  close_core(core);
}

static void *poll_elsewhere(void *core) { return (void *)(intptr_t)ltp_poll(core); }

static intptr_t in_a_thread(void *(*body)(void *), void *argument) {
  pthread_t thread;
  void *result = NULL;
  REQUIRE_EQUAL(pthread_create(&thread, NULL, body, argument), 0);
  pthread_join(thread, &result);
  return (intptr_t)result;
}

static void decide_many(struct host *host) {
  for (int index = 0; index < 3000; index++) decide(host);
}

static void *serve_in_order(void *pointer) {
  struct host *host = pointer;
  for (int round = 0; round < 100; round++) turn(host, 200);
  decide_many(host);
  CHECK_EQUAL(ltp_poll(host->core), LTP_OK);
  CHECK_EQUAL(ltp_poll_end(host->core), LTP_OK);
  return NULL;
}

static void *serve_and_vanish(void *pointer) {
  struct host *host = pointer;
  for (int round = 0; round < 10; round++) turn(host, 200);
  decide_many(host);
  CHECK_EQUAL(ltp_poll(host->core), LTP_OK);
  return NULL;
}

static void one_thread_polls(void) {
  struct host host = new_host(open_driven(new_directory()));
  publish(host.core, LTP_STATE_HEALTHY);
  CHECK_EQUAL(ltp_poll_end(host.core), LTP_OK);
  /* Opened here, polled there and there, then here. */
  for (int round = 0; round < 3; round++) in_a_thread(serve_in_order, &host);
  for (int round = 0; round < 100; round++) turn(&host, 200);
  CHECK_EQUAL(in_a_thread(poll_elsewhere, host.core), LTP_ERROR_IN_USE);
  CHECK_EQUAL(host.denied, 0);
  CHECK(ltp_lane_sequence(host.lane) >= host.decided);
  settle(host.lane);
  end(&host);
}

static void *close_elsewhere(void *core) { return (void *)(intptr_t)ltp_core_close(core, 0, NULL); }

static void threads_that_end_without_a_word(void) {
  /* Nothing under way: no harm done. */
  struct host host = new_host(open_driven(new_directory()));
  in_a_thread(poll_elsewhere, host.core);
  end(&host);
  const char *directory = new_directory();
  host = new_host(open_driven(directory));
  publish(host.core, LTP_STATE_HEALTHY);
  in_a_thread(serve_and_vanish, &host);
  CHECK_EQUAL(ltp_poll(host.core), LTP_ERROR_IN_USE);
  uint64_t durable = ltp_lane_durable(host.lane);
  CHECK_EQUAL(ltp_lane_close(host.lane), LTP_OK);
  int32_t status = ltp_core_close(host.core, SECOND, NULL);
  CHECK(status == LTP_OK || status == LTP_ERROR_TRACE_IO);
  CHECK(durable > 0);
  /* What was acknowledged is there. */
  close_core(open_small(directory));
  /* Not from under a thread that polls. */
  host = new_host(open_driven(new_directory()));
  publish(host.core, LTP_STATE_HEALTHY);
  turn(&host, 1);
  decide_many(&host);
  CHECK_EQUAL(ltp_lane_close(host.lane), LTP_OK);
  CHECK_EQUAL(ltp_poll(host.core), LTP_OK);
  CHECK_EQUAL(in_a_thread(close_elsewhere, host.core), LTP_ERROR_IN_USE);
  close_core(host.core);
}

static void *wait_for_host(void *pointer) {
  struct host *host = pointer;
  ltp_lane *lane = open_lane(host->core);
  intptr_t failed = 0;
  for (int round = 0; round < 50; round++) {
    ltp_route_request asked = request((uint64_t)round, 2, CLASS_STATUS);
    admit(lane, &asked);
    failed += ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), 20 * SECOND) != LTP_OK;
  }
  ltp_lane_close(lane);
  return (void *)failed;
}

static void others_wait_for_the_polling_thread(void) {
  struct host host = new_host(open_driven(new_directory()));
  publish(host.core, LTP_STATE_HEALTHY);
  turn(&host, 1);
  pthread_t thread;
  REQUIRE_EQUAL(pthread_create(&thread, NULL, wait_for_host, &host), 0);
  void *failed = NULL;
  while (pthread_tryjoin_np(thread, &failed) != 0) turn(&host, 1);
  CHECK_EQUAL((intptr_t)failed, 0);
  end(&host);
}

static void *use_and_close(void *pointer) {
  ltp_lane *lane = pointer;
  ltp_route_request asked = request(1, 3, CLASS_STATUS);
  for (int round = 0; round < 20; round++) {
    admit(lane, &asked);
    CHECK_EQUAL(ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), 20 * SECOND), LTP_OK);
  }
  return (void *)(intptr_t)ltp_lane_close(lane);
}

/* The polling thread closes, while another still waits for the disk before it closes its lane. */
static void closing_drives(void) {
  struct host host = new_host(open_driven(new_directory()));
  turn(&host, 10);
  pthread_t thread;
  REQUIRE_EQUAL(pthread_create(&thread, NULL, use_and_close, open_lane(host.core)), 0);
  CHECK_EQUAL(ltp_lane_close(host.lane), LTP_OK);
  ltp_error error;
  CHECK_EQUAL(ltp_core_close(host.core, 20 * SECOND, &error), LTP_OK);
  void *closed = NULL;
  pthread_join(thread, &closed);
  CHECK_EQUAL((intptr_t)closed, LTP_OK);
}

/* Loads on the polling thread: what makes room for the next policy is its own work. */
static void policies_on_the_polling_thread(void) {
  struct host host = new_host(open_driven(new_directory()));
  turn(&host, 1);
  static ltp_policy policy;
  ltp_policy_default(&policy);
  for (uint32_t round = 2; round < 40; round++) {
    uint32_t generation = 0;
    CHECK_EQUAL(ltp_policy_load(host.core, &policy, &generation, NULL), LTP_OK);
    CHECK_EQUAL(generation, round);
  }
  end(&host);
}

static void by_pwritev(void) {
  ltp_core_options options = driven_options(new_directory());
  options.storage = LTP_STORAGE_PWRITEV;
  struct host host = new_host(open_core(&options));
  publish(host.core, LTP_STATE_HEALTHY);
  for (int round = 0; round < 50; round++) turn(&host, 200);
  CHECK_EQUAL(host.denied, 0);
  settle(host.lane);
  end(&host);
}

/* Whether the descriptor of wanted records becomes readable in time; it is quiet again afterwards. */
static int told(int descriptor, int milliseconds) {
  struct pollfd source = {.fd = descriptor, .events = POLLIN};
  int ready = poll(&source, 1, milliseconds) == 1;
  uint64_t count = 0;
  if (ready) CHECK_EQUAL(read(descriptor, &count, sizeof count), sizeof count);
  CHECK_EQUAL(poll(&source, 1, 0), 0);
  return ready;
}

/* An event loop that holds answers until they are on disk, without waiting in a call. Nothing is written by itself for a second. */
static void wanted_records(void) {
  ltp_core_options options = small_options(new_directory());
  options.commit_interval_ns = SECOND;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core), *other = open_lane(core);
  publish(core, LTP_STATE_HEALTHY);
  int32_t descriptor = -1, again = -1;
  REQUIRE_EQUAL(ltp_durable_descriptor(core, &descriptor), LTP_OK);
  CHECK_EQUAL(ltp_durable_descriptor(core, &again), LTP_OK);
  CHECK(descriptor >= 0 && again == descriptor);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  CHECK_EQUAL(admit(other, &asked).verdict, LTP_VERDICT_EXECUTE);
  settle(other);
  uint64_t began = monotonic_ns(), settled = ltp_lane_durable(other);
  for (uint64_t round = 1; round <= 20; round++) {
    asked = request(round, 1, CLASS_READ);
    CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_EXECUTE);
    CHECK_EQUAL(admit(other, &asked).verdict, LTP_VERDICT_EXECUTE);
    uint64_t mark = ltp_lane_sequence(lane);
    CHECK_EQUAL(ltp_lane_want_durable(lane, mark), LTP_OK);
    while (ltp_lane_durable(lane) < mark && told(descriptor, 10000)) continue;
    CHECK(ltp_lane_durable(lane) >= mark);
    told(descriptor, 0); /* what was seen before it was told */
  }
  /* A flush is its lane's own, unless the interval has passed meanwhile. */
  if (monotonic_ns() - began < SECOND / 2) CHECK_EQUAL(ltp_lane_durable(other), settled);
  CHECK_EQUAL(ltp_lane_want_durable(lane, ltp_lane_durable(lane)), LTP_OK);
  CHECK_EQUAL(ltp_lane_want_durable(lane, ltp_lane_sequence(lane) + 1), LTP_ERROR_SEQUENCE_AHEAD);
  CHECK_EQUAL(ltp_lane_want_durable(NULL, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_durable_descriptor(core, NULL), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_durable_descriptor(NULL, &again), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  CHECK_EQUAL(ltp_lane_want_durable(lane, 0), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_lane_close(other), LTP_OK);
  close_core(core);
  /* The core has closed it. */
  struct pollfd source = {.fd = descriptor, .events = POLLIN};
  CHECK(poll(&source, 1, 0) == 1 && source.revents == POLLNVAL);
}

/* The same where the host drives: what is wanted makes its descriptor readable, and polling writes it. */
static void wanted_while_driving(void) {
  ltp_core_options options = driven_options(new_directory());
  options.commit_interval_ns = SECOND;
  struct host host = new_host(open_core(&options));
  publish(host.core, LTP_STATE_HEALTHY);
  int32_t told_by = -1;
  REQUIRE_EQUAL(ltp_durable_descriptor(host.core, &told_by), LTP_OK);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  CHECK_EQUAL(admit(host.lane, &asked).verdict, LTP_VERDICT_EXECUTE);
  uint64_t mark = ltp_lane_sequence(host.lane);
  CHECK_EQUAL(ltp_lane_want_durable(host.lane, mark), LTP_OK);
  for (int turns = 0; turns < 1000 && ltp_lane_durable(host.lane) < mark; turns++) {
    struct pollfd source = {.fd = descriptor_of(host.core), .events = POLLIN};
    poll(&source, 1, 1000);
    CHECK_EQUAL(ltp_poll(host.core), LTP_OK);
  }
  CHECK(ltp_lane_durable(host.lane) >= mark);
  CHECK(told(told_by, 0));
  settle(host.lane);
  end(&host);
}

static void mistakes(void) {
  ltp_core *core = open_small(new_directory());
  int32_t descriptor = 7;
  CHECK_EQUAL(ltp_poll(core), LTP_ERROR_NOT_HOST_DRIVEN);
  CHECK_EQUAL(ltp_poll_end(core), LTP_ERROR_NOT_HOST_DRIVEN);
  CHECK_EQUAL(ltp_event_descriptor(core, &descriptor), LTP_ERROR_NOT_HOST_DRIVEN);
  CHECK_EQUAL(descriptor, -1);
  CHECK_EQUAL(ltp_event_descriptor(core, NULL), LTP_ERROR_NULL_ARGUMENT);
  close_core(core);
  CHECK_EQUAL(ltp_poll(core), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_poll(NULL), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_poll_end(NULL), LTP_ERROR_BAD_HANDLE);
  CHECK_EQUAL(ltp_event_descriptor(NULL, &descriptor), LTP_ERROR_BAD_HANDLE);
  ltp_core_options options = driven_options(new_directory());
  options.backpressure_wait_ns = 1;
  CHECK_EQUAL(ltp_core_open(&options, &core, NULL), LTP_ERROR_OPTION_RANGE);
}

static const struct test tests[] = {
  {"no thread, one descriptor, no interrupted call, nothing left open", no_thread_and_one_descriptor},
  {"waiting for the disk drives", waiting_drives},
  {"time and the disk move by polling only", time_moves_by_polling},
  {"one thread polls, and hands over", one_thread_polls},
  {"threads that end without a word", threads_that_end_without_a_word},
  {"others wait for the thread that polls", others_wait_for_the_polling_thread},
  {"closing drives", closing_drives},
  {"policies are loaded on the polling thread", policies_on_the_polling_thread},
  {"by pwritev", by_pwritev},
  {"an event loop holds answers until they are on disk", wanted_records},
  {"and one that drives the core", wanted_while_driving},
  {"mistakes", mistakes},
  {NULL, NULL},
};
const struct suite suite_poll = {"poll", tests};
