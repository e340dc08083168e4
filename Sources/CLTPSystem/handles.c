// SPDX-License-Identifier: Apache-2.0
// Memory for handles, the generation in a handle's low bits, and the gate that calls pass on their way in and out.
//
// A gate belongs to one piece of memory for good and is never freed, so a stale handle that gets as far as the gate finds
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

struct ltp_system_gate {
  uint64_t word; /* users, SHUT, CLAIMED, generation */
  uint8_t *memory;
  size_t bytes;
  int kind;
  uint32_t generation;
  struct ltp_system_gate *next; /* closed after this one */
};

/* Closed ones, the oldest first. */
static struct {
  ltp_system_gate *first;
  ltp_system_gate **end;
  unsigned retired;
} queues[KINDS] = {{.end = &queues[0].first}, {.end = &queues[1].first}, {.end = &queues[2].first}};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static ltp_system_handle_head *head(const ltp_system_gate *gate) {
  return (ltp_system_handle_head *)(void *)gate->memory;
}

static ltp_system_gate *first_closed(int kind) {
  pthread_mutex_lock(&mutex);
  ltp_system_gate *gate = queues[kind].first;
  if (gate != NULL) {
    queues[kind].first = gate->next;
    if (gate->next == NULL) queues[kind].end = &queues[kind].first;
    gate->next = NULL;
  }
  pthread_mutex_unlock(&mutex);
  return gate;
}

static ltp_system_gate *new_gate(int kind, size_t bytes) {
  ltp_system_gate *gate = calloc(1, sizeof *gate);
  if (gate == NULL) return NULL;
  gate->memory = ltp_system_map(bytes, LTP_SYSTEM_WIPE_ON_FORK);
  if (gate->memory == NULL) {
    free(gate);
    return NULL;
  }
  gate->bytes = bytes;
  gate->kind = kind;
  return gate;
}

ltp_system_gate *ltp_system_gate_take(int kind, size_t bytes) {
  ltp_system_gate *gate = first_closed(kind);
  if (gate == NULL) gate = new_gate(kind, bytes);
  if (gate != NULL) gate->generation = gate->generation % LTP_SYSTEM_HANDLE_GENERATIONS + 1;
  return gate;
}

void *ltp_system_gate_memory(const ltp_system_gate *gate) { return gate->memory; }

void *ltp_system_gate_handle(const ltp_system_gate *gate) { return gate->memory + gate->generation; }

void ltp_system_gate_open(ltp_system_gate *gate) {
  uint64_t handle = (uint64_t)(uintptr_t)ltp_system_gate_handle(gate);
  __atomic_store_n(&gate->word, (uint64_t)gate->generation << GENERATION_SHIFT, __ATOMIC_RELEASE);
  __atomic_store_n(&head(gate)->gate, gate, __ATOMIC_RELEASE);
  __atomic_store_n(&head(gate)->mark, ltp_system_handle_mark(gate->kind, handle), __ATOMIC_RELEASE);
}

/* The gate of a handle that was good a moment ago; NULL: it is none of this kind, or closed, or from before a fork. */
static ltp_system_gate *find(int kind, const void *pointer) {
  uintptr_t handle = (uintptr_t)pointer;
  if ((int64_t)handle < LEAST_HANDLE) return NULL;
  const ltp_system_handle_head *found =
    (const ltp_system_handle_head *)(handle - handle % LTP_SYSTEM_HANDLE_ALIGNMENT);
  if (__atomic_load_n(&found->mark, __ATOMIC_ACQUIRE) != ltp_system_handle_mark(kind, handle)) return NULL;
  return __atomic_load_n(&found->gate, __ATOMIC_ACQUIRE);
}

/* Adds to the word while it is of the handle's generation and has none of the bits. */
static int change(
  int kind, const void *handle, uint64_t add, uint64_t without, ltp_system_gate **entered) {
  ltp_system_gate *gate = find(kind, handle);
  if (gate == NULL) return -EBADF;
  uint64_t word = __atomic_load_n(&gate->word, __ATOMIC_ACQUIRE);
  do {
    if (word >> GENERATION_SHIFT != (uintptr_t)handle % LTP_SYSTEM_HANDLE_ALIGNMENT) return -EBADF;
    if (word & without & (SHUT | CLAIMED)) return -ESHUTDOWN;
    if (word & without & USERS) return -EBUSY;
  } while (!__atomic_compare_exchange_n(
    &gate->word, &word, word + add, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  *entered = gate;
  return 0;
}

int ltp_system_gate_enter(int kind, const void *handle, ltp_system_gate **gate) {
  return change(kind, handle, 1, SHUT, gate);
}

void ltp_system_gate_leave(ltp_system_gate *gate) {
  uint64_t word = __atomic_sub_fetch(&gate->word, 1, __ATOMIC_ACQ_REL);
  if (word & SHUT && (word & USERS) == 0) ltp_system_futex_wake_all((uint32_t *)&gate->word);
}

int ltp_system_gate_claim(int kind, const void *handle, ltp_system_gate **gate) {
  return change(kind, handle, CLAIMED, SHUT | CLAIMED, gate);
}

int ltp_system_gate_claim_empty(int kind, const void *handle, ltp_system_gate **gate) {
  return change(kind, handle, CLAIMED | SHUT, SHUT | CLAIMED | USERS, gate);
}

void ltp_system_gate_shut(ltp_system_gate *gate) { __atomic_or_fetch(&gate->word, SHUT, __ATOMIC_ACQ_REL); }

void ltp_system_gate_reopen(ltp_system_gate *gate) {
  __atomic_and_fetch(&gate->word, ~SHUT, __ATOMIC_ACQ_REL);
}

void ltp_system_gate_unclaim(ltp_system_gate *gate) {
  __atomic_and_fetch(&gate->word, ~(SHUT | CLAIMED), __ATOMIC_ACQ_REL);
}

int ltp_system_gate_is_shut(const ltp_system_gate *gate) {
  return (__atomic_load_n(&gate->word, __ATOMIC_ACQUIRE) & SHUT) != 0;
}

uint32_t ltp_system_gate_users(const ltp_system_gate *gate) {
  return (uint32_t)(__atomic_load_n(&gate->word, __ATOMIC_ACQUIRE) & USERS);
}

void ltp_system_gate_wait(ltp_system_gate *gate, uint64_t timeout_ns) {
  uint32_t users = ltp_system_gate_users(gate);
  /* Little-endian: the users are the word's first half. */
  if (users > 0) ltp_system_futex_wait((uint32_t *)&gate->word, users, timeout_ns);
}

void ltp_system_gate_hide(ltp_system_gate *gate) {
  __atomic_store_n(&head(gate)->mark, 0, __ATOMIC_RELEASE);
}

void ltp_system_gate_give(ltp_system_gate *gate) {
  ltp_system_gate_shut(gate);
  ltp_system_gate_hide(gate);
  ltp_system_discard(gate->memory, gate->bytes);
  pthread_mutex_lock(&mutex);
  int retires =
    gate->generation == LTP_SYSTEM_HANDLE_GENERATIONS && queues[gate->kind].retired < RETIRED_MAX;
  if (retires) {
    queues[gate->kind].retired++;
  } else {
    gate->next = NULL;
    *queues[gate->kind].end = gate;
    queues[gate->kind].end = &gate->next;
  }
  pthread_mutex_unlock(&mutex);
  /* Its first page stays: that is what a stale handle looks at. */
  if (retires && gate->bytes > LTP_SYSTEM_HANDLE_ALIGNMENT)
    ltp_system_unmap(
      gate->memory + LTP_SYSTEM_HANDLE_ALIGNMENT, gate->bytes - LTP_SYSTEM_HANDLE_ALIGNMENT);
}
