// SPDX-License-Identifier: Apache-2.0
// Memory for handles: type-stable, so that a use after close reads zeros instead of crashing.
#include "ltp_system.h"

#include <pthread.h>

#define KINDS 3
#define KEPT_MAX 4096

static struct {
  void *bases[KEPT_MAX];
  int count;
} kept[KINDS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static pthread_mutex_t looking = PTHREAD_MUTEX_INITIALIZER;
void ltp_system_handles_lock(void) { pthread_mutex_lock(&looking); }
void ltp_system_handles_unlock(void) { pthread_mutex_unlock(&looking); }

void *ltp_system_handle_take(int kind, size_t bytes) {
  void *base = NULL;
  pthread_mutex_lock(&mutex);
  if (kept[kind].count > 0) base = kept[kind].bases[--kept[kind].count];
  pthread_mutex_unlock(&mutex);
  return base != NULL ? base : ltp_system_map(bytes, LTP_SYSTEM_WIPE_ON_FORK);
}

void ltp_system_handle_give(int kind, void *base, size_t bytes) {
  ltp_system_discard(base, bytes);
  pthread_mutex_lock(&mutex);
  int keep = kept[kind].count < KEPT_MAX;
  if (keep) kept[kind].bases[kept[kind].count++] = base;
  pthread_mutex_unlock(&mutex);
  if (!keep) ltp_system_unmap(base, bytes);
}
