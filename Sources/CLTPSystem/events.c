// SPDX-License-Identifier: Apache-2.0
// One descriptor that says when a host is to call: a timer and an eventfd behind an epoll.
#define _GNU_SOURCE
#include "ltp_system.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int add(int all, int descriptor) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
  return epoll_ctl(all, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : -errno;
}

int ltp_system_events_open(ltp_system_events *events, uint64_t interval_ns) {
  struct timespec interval = {.tv_sec = (time_t)(interval_ns / 1000000000u),
                              .tv_nsec = (long)(interval_ns % 1000000000u)};
  struct itimerspec period = {.it_interval = interval, .it_value = interval};
  *events = (ltp_system_events){.all = epoll_create1(EPOLL_CLOEXEC),
                                .timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
                                .raised = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  int result = 0;
  if (events->all < 0 || events->timer < 0 || events->raised < 0 ||
      timerfd_settime(events->timer, 0, &period, NULL) != 0)
    result = -errno;
  if (result == 0) result = add(events->all, events->timer);
  if (result == 0) result = add(events->all, events->raised);
  if (result != 0) ltp_system_events_close(events);
  return result;
}

void ltp_system_events_raise(const ltp_system_events *events) {
  uint64_t one = 1;
  // EAGAIN: it is raised as far as it goes.
  ssize_t put = write(events->raised, &one, sizeof one);
  (void)put;
}

void ltp_system_events_clear(const ltp_system_events *events) {
  uint64_t count;
  ssize_t got = read(events->timer, &count, sizeof count);
  got = read(events->raised, &count, sizeof count);
  (void)got;
}

void ltp_system_events_close(ltp_system_events *events) {
  if (events->all >= 0) close(events->all);
  if (events->timer >= 0) close(events->timer);
  if (events->raised >= 0) close(events->raised);
  *events = (ltp_system_events){-1, -1, -1};
}

int ltp_system_event_open(void) {
  int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

void ltp_system_event_raise(int descriptor) {
  uint64_t one = 1;
  /* One that nobody has read for 2^64 times stays raised. */
  if (write(descriptor, &one, sizeof one) < 0) return;
}
