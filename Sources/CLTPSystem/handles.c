// SPDX-License-Identifier: Apache-2.0
// Memory for handles, the generation in a handle's low bits, and the latch that calls pass on their way in and out.
//
// A latch belongs to one piece of memory for good and is never freed, so a stale handle that gets as far as the latch finds
// another generation there. It lies outside the memory, which is discarded at the end and reads as zeros in a child.
#include "ltp_system.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define KINDS 3
/* Of a handle that can be dereferenced: not a small number, and in the lower half of the address space. */
#define LEAST_HANDLE ((int64_t)0x10000)
/* Memory whose generations are used up, and that is therefore not used again; beyond that the generations begin anew. */
#define RETIRED_MAX 4096

#define USERS ((uint64_t)0xFFFFFFFF)
#define SHUT ((uint64_t)1 << 32)    /* nobody enters */
#define CLAIMED ((uint64_t)1 << 33) /* somebody closes */
#define GENERATION_SHIFT 40

struct ltp_system_latch {
  uint64_t word; /* users, SHUT, CLAIMED, generation */
  uint8_t *memory;
  size_t bytes;
  int kind;
  uint32_t generation;
  struct ltp_system_latch *next; /* closed after this one */
};

/* Closed ones, the oldest first. */
static struct {
  ltp_system_latch *first;
  ltp_system_latch **end;
  unsigned retired;
} queues[KINDS] = {{.end = &queues[0].first}, {.end = &queues[1].first}, {.end = &queues[2].first}};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static ltp_system_handle_head *head(const ltp_system_latch *latch) {
  return (ltp_system_handle_head *)(void *)latch->memory;
}

static ltp_system_latch *first_closed(int kind) {
  pthread_mutex_lock(&mutex);
  ltp_system_latch *latch = queues[kind].first;
  if (latch != NULL) {
    queues[kind].first = latch->next;
    if (latch->next == NULL) queues[kind].end = &queues[kind].first;
    latch->next = NULL;
  }
  pthread_mutex_unlock(&mutex);
  return latch;
}

static ltp_system_latch *new_latch(int kind, size_t bytes) {
  ltp_system_latch *latch = calloc(1, sizeof *latch);
  if (latch == NULL) return NULL;
  latch->memory = ltp_system_map(bytes, LTP_SYSTEM_WIPE_ON_FORK);
  if (latch->memory == NULL) {
    free(latch);
    return NULL;
  }
  latch->bytes = bytes;
  latch->kind = kind;
  return latch;
}

ltp_system_latch *ltp_system_latch_take_memory(int kind, size_t bytes) {
  ltp_system_latch *latch = first_closed(kind);
  if (latch == NULL) latch = new_latch(kind, bytes);
  if (latch != NULL) latch->generation = latch->generation % LTP_SYSTEM_HANDLE_GENERATIONS + 1;
  return latch;
}

void *ltp_system_latch_memory(const ltp_system_latch *latch) { return latch->memory; }

void *ltp_system_latch_handle(const ltp_system_latch *latch) { return latch->memory + latch->generation; }

void ltp_system_latch_open(ltp_system_latch *latch) {
  uint64_t handle = (uint64_t)(uintptr_t)ltp_system_latch_handle(latch);
  __atomic_store_n(&latch->word, (uint64_t)latch->generation << GENERATION_SHIFT, __ATOMIC_RELEASE);
  __atomic_store_n(&head(latch)->latch, latch, __ATOMIC_RELEASE);
  __atomic_store_n(&head(latch)->mark, ltp_system_handle_mark(latch->kind, handle), __ATOMIC_RELEASE);
}

/* The latch of a handle that was good a moment ago; NULL: it is none of this kind, or closed, or from before a fork. */
static ltp_system_latch *find(int kind, const void *pointer) {
  uintptr_t handle = (uintptr_t)pointer;
  if ((int64_t)handle < LEAST_HANDLE) return NULL;
  const ltp_system_handle_head *found =
    (const ltp_system_handle_head *)(handle - handle % LTP_SYSTEM_HANDLE_ALIGNMENT);
  if (__atomic_load_n(&found->mark, __ATOMIC_ACQUIRE) != ltp_system_handle_mark(kind, handle)) return NULL;
  return __atomic_load_n(&found->latch, __ATOMIC_ACQUIRE);
}

/* Adds to the word while it is of the handle's generation and has none of the bits. */
static int change(
  int kind, const void *handle, uint64_t add, uint64_t without, ltp_system_latch **entered) {
  ltp_system_latch *latch = find(kind, handle);
  if (latch == NULL) return -EBADF;
  uint64_t word = __atomic_load_n(&latch->word, __ATOMIC_ACQUIRE);
  do {
    if (word >> GENERATION_SHIFT != (uintptr_t)handle % LTP_SYSTEM_HANDLE_ALIGNMENT) return -EBADF;
    if (word & without & (SHUT | CLAIMED)) return -ESHUTDOWN;
    if (word & without & USERS) return -EBUSY;
  } while (!__atomic_compare_exchange_n(
    &latch->word, &word, word + add, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  *entered = latch;
  return 0;
}

int ltp_system_latch_enter(int kind, const void *handle, ltp_system_latch **latch) {
  return change(kind, handle, 1, SHUT, latch);
}

void ltp_system_latch_leave(ltp_system_latch *latch) {
  uint64_t word = __atomic_sub_fetch(&latch->word, 1, __ATOMIC_ACQ_REL);
  if (word & SHUT && (word & USERS) == 0) ltp_system_futex_wake_all((uint32_t *)&latch->word);
}

int ltp_system_latch_claim(int kind, const void *handle, ltp_system_latch **latch) {
  return change(kind, handle, CLAIMED, SHUT | CLAIMED, latch);
}

int ltp_system_latch_claim_empty(int kind, const void *handle, ltp_system_latch **latch) {
  return change(kind, handle, CLAIMED | SHUT, SHUT | CLAIMED | USERS, latch);
}

void ltp_system_latch_shut(ltp_system_latch *latch) { __atomic_or_fetch(&latch->word, SHUT, __ATOMIC_ACQ_REL); }

void ltp_system_latch_reopen(ltp_system_latch *latch) {
  __atomic_and_fetch(&latch->word, ~SHUT, __ATOMIC_ACQ_REL);
}

void ltp_system_latch_unclaim(ltp_system_latch *latch) {
  __atomic_and_fetch(&latch->word, ~(SHUT | CLAIMED), __ATOMIC_ACQ_REL);
}

int ltp_system_latch_is_shut(const ltp_system_latch *latch) {
  return (__atomic_load_n(&latch->word, __ATOMIC_ACQUIRE) & SHUT) != 0;
}

uint32_t ltp_system_latch_users(const ltp_system_latch *latch) {
  return (uint32_t)(__atomic_load_n(&latch->word, __ATOMIC_ACQUIRE) & USERS);
}

void ltp_system_latch_wait(ltp_system_latch *latch, uint64_t timeout_ns) {
  uint32_t users = ltp_system_latch_users(latch);
  /* Little-endian: the users are the word's first half. */
  if (users > 0) ltp_system_futex_wait((uint32_t *)&latch->word, users, timeout_ns);
}

void ltp_system_latch_hide(ltp_system_latch *latch) {
  __atomic_store_n(&head(latch)->mark, 0, __ATOMIC_RELEASE);
}

void ltp_system_latch_discard_memory(ltp_system_latch *latch) {
  ltp_system_latch_shut(latch);
  ltp_system_latch_hide(latch);
  ltp_system_discard(latch->memory, latch->bytes);
  pthread_mutex_lock(&mutex);
  int retires =
    latch->generation == LTP_SYSTEM_HANDLE_GENERATIONS && queues[latch->kind].retired < RETIRED_MAX;
  if (retires) {
    queues[latch->kind].retired++;
  } else {
    latch->next = NULL;
    *queues[latch->kind].end = latch;
    queues[latch->kind].end = &latch->next;
  }
  pthread_mutex_unlock(&mutex);
  /* Its first page stays: that is what a stale handle looks at. */
  if (retires && latch->bytes > LTP_SYSTEM_HANDLE_ALIGNMENT)
    ltp_system_unmap(
      latch->memory + LTP_SYSTEM_HANDLE_ALIGNMENT, latch->bytes - LTP_SYSTEM_HANDLE_ALIGNMENT);
}
