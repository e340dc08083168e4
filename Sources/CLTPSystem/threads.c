// SPDX-License-Identifier: Apache-2.0
// Threads with all signals blocked, so that a host's handlers never run on them; and a mutex.
#define _GNU_SOURCE
#include "ltp_system.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(ltp_system_mutex), "the mutex fits");
_Static_assert(sizeof(pthread_t) == sizeof(unsigned long), "the thread handle fits");

struct start {
  void (*body)(void *);
  void *argument;
  char name[16];
};

static void *thread_main(void *pointer) {
  struct start start = *(struct start *)pointer;
  free(pointer);
  pthread_setname_np(pthread_self(), start.name);
  start.body(start.argument);
  return NULL;
}

int ltp_system_thread_start(
  ltp_system_thread *thread, void (*body)(void *), void *argument, const char *name) {
  struct start *start = calloc(1, sizeof *start);
  if (start == NULL) return -ENOMEM;
  start->body = body;
  start->argument = argument;
  strncpy(start->name, name, sizeof start->name - 1);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t handle;
  int result = pthread_create(&handle, NULL, thread_main, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (result != 0) {
    free(start);
    return -result;
  }
  thread->handle = (unsigned long)handle;
  return 0;
}

void ltp_system_thread_join(ltp_system_thread *thread) { pthread_join((pthread_t)thread->handle, NULL); }

void ltp_system_thread_detach(ltp_system_thread *thread) { pthread_detach((pthread_t)thread->handle); }

uint64_t ltp_system_thread_id(void) { return (uint64_t)gettid(); }

int ltp_system_thread_is_there(uint64_t id) { return tgkill(getpid(), (pid_t)id, 0) == 0; }

_Noreturn void ltp_system_end_for_misuse(uint32_t lane, uint64_t thread, uint64_t other) {
  fprintf(
    stderr,
    "ltp: lane %u is used by two threads at once, %llu and %llu: one at a time may, so open a lane for each\n",
    lane, (unsigned long long)thread, (unsigned long long)other);
  abort();
}

void ltp_system_mutex_init(ltp_system_mutex *mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  // Most are held for a fraction of a microsecond: a short spin saves the sleep.
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
  pthread_mutex_init((pthread_mutex_t *)(void *)mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
}
void ltp_system_mutex_lock(ltp_system_mutex *mutex) {
  pthread_mutex_lock((pthread_mutex_t *)(void *)mutex);
}
void ltp_system_mutex_unlock(ltp_system_mutex *mutex) {
  pthread_mutex_unlock((pthread_mutex_t *)(void *)mutex);
}
