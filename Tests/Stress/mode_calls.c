/* SPDX-License-Identifier: Apache-2.0
 * Eight threads call every function of the contract, with good arguments and bad ones. Cores, lanes and pages are closed
 * and opened again while others call; cores that a host drives, that orient themselves and that follow a page are among
 * them. A lane is its thread's own, as the contract asks; what any thread may call with it, any thread calls.
 *
 * Nothing may crash, hang, answer for a handle that was closed, or break the never list. In the end every trace is opened
 * again, which verifies it.
 */
#define _GNU_SOURCE
#include "calls.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world world;

/* ---- Handles that are none ---- */

static _Alignas(4096) uint8_t zeros[8192];

void *wrong_handle(struct caller *caller) {
  switch (pick(&caller->random, 5)) {
  case 0: return NULL;
  case 1: return (void *)(uintptr_t)(1 + pick(&caller->random, 0xFFFF));
  case 2: return (void *)(intptr_t)-1;
  case 3: return zeros;
  default: return zeros + pick(&caller->random, 4096);
  }
}

void remember_closed(struct closed *closed, void *handle) {
  uint32_t place = __atomic_fetch_add(&closed->count, 1, __ATOMIC_RELAXED);
  __atomic_store_n(&closed->handles[place % CLOSED_KEPT], handle, __ATOMIC_RELEASE);
}

void *closed_handle(struct closed *closed, struct caller *caller) {
  void *handle = __atomic_load_n(&closed->handles[pick(&caller->random, CLOSED_KEPT)], __ATOMIC_ACQUIRE);
  return handle != NULL ? handle : wrong_handle(caller);
}

void told(const char *what, int is_closed, int32_t status) {
  if (is_closed && status != LTP_ERROR_BAD_HANDLE)
    stress_found("%s: %d (%s) for a closed handle", what, (int)status, ltp_status_text(status));
}

void expect(const char *what, int32_t status, const int32_t *allowed, size_t count) {
  for (size_t index = 0; index < count; index++)
    if (status == allowed[index]) return;
  stress_found("%s: %d (%s)", what, (int)status, ltp_status_text(status));
}

/* ---- Cores ---- */

static void set_options(struct caller *caller, struct core_slot *slot, ltp_core_options *options) {
  ltp_core_options_init(options, sizeof *options);
  options->trace_directory = slot->directory;
  options->segment_bytes = 512 << 10;
  options->block_bytes = 16 << 10;
  options->lane_blocks = 4 + pick(&caller->random, 8);
  options->lanes_max = 12;
  static const ltp_deferral_options deferral = {
    .struct_size = sizeof deferral, .capacity = 500, .segment_bytes = 512 << 10, .block_bytes = 16 << 10, .lease_ms = 5, .remember_ms = 20};
  options->deferral = &deferral;
  options->retain_segments = 2;
  options->commit_interval_ns = 50000 + pick(&caller->random, 2000000);
  options->clock_interval_ns = 100000 + pick(&caller->random, 2000000);
  options->storage = pick(&caller->random, 2) ? LTP_STORAGE_AUTO : LTP_STORAGE_PWRITEV;
  options->flags = pick(&caller->random, 2) ? LTP_OPEN_VERIFY_TAIL : 0;
  if (slot->kind == KIND_DRIVEN) options->flags |= LTP_OPEN_HOST_DRIVEN;
  else options->backpressure_wait_ns = pick(&caller->random, 2) * MILLISECOND;
  if (slot->kind == KIND_OBSERVING) options->signal_rules = &world.rules;
  if (slot->kind == KIND_FOLLOWING) options->orientation_page = world.page_path;
}

static int open_again(struct core_slot *slot);

/* A log's numbers are not endless for who advances continuity all the time: another one, and this one is looked through. */
static void change_trace(struct core_slot *slot) {
  if (open_again(slot) != 0) return;
  stress_remove(slot->directory);
  slot->directory = stress_directory(world.directory, "trace", slot->number += CORES);
}

void open_core(struct caller *caller) {
  struct core_slot *slot = &world.cores[pick(&caller->random, CORES)];
  int is_empty = SLOT_EMPTY;
  if (!__atomic_compare_exchange_n(&slot->state, &is_empty, SLOT_BUSY, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return;
  ltp_core_options options;
  ltp_error error = {0};
  ltp_core *core = NULL;
  if (++slot->opened % 16 == 0) change_trace(slot);
  set_options(caller, slot, &options);
  int32_t status = ltp_core_open(&options, &core, &error);
  if (status == LTP_OK) {
    caller->opened_cores++;
    __atomic_store_n(&slot->core, core, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->state, SLOT_OPEN, __ATOMIC_RELEASE);
    return;
  }
  stress_found("ltp_core_open: %d, %s", (int)status, error.message);
  __atomic_store_n(&slot->state, SLOT_EMPTY, __ATOMIC_RELEASE);
}

/* Any thread closes; the one whose call ends the core says so. */
int32_t close_core(struct core_slot *slot, uint64_t timeout_ns) {
  ltp_core *core = __atomic_load_n(&slot->core, __ATOMIC_ACQUIRE);
  ltp_error error = {0};
  int32_t status = ltp_core_close(core, timeout_ns, &error);
  if (status == LTP_ERROR_LANES_OPEN || status == LTP_ERROR_IN_USE || status == LTP_ERROR_CLOSING ||
      status == LTP_ERROR_BAD_HANDLE)
    return status;
  if (status != LTP_OK) stress_found("ltp_core_close: %d, %s", (int)status, error.message);
  remember_closed(&world.closed_cores, core);
  __atomic_store_n(&slot->core, NULL, __ATOMIC_RELEASE);
  __atomic_store_n(&slot->state, SLOT_EMPTY, __ATOMIC_RELEASE);
  return status;
}

ltp_core *some_core(struct caller *caller) {
  struct core_slot *slot = &world.cores[pick(&caller->random, CORES)];
  ltp_core *core = __atomic_load_n(&slot->core, __ATOMIC_ACQUIRE);
  /* It may be closed by the time it is used. */
  return core != NULL ? core : wrong_handle(caller);
}

/* ---- Threads ---- */

static void *call_many(void *pointer) {
  struct caller *caller = pointer;
  while (stress_now_ns() < world.until) {
    for (int round = 0; round < 50; round++) call_something(caller);
  }
  end_calls(caller);
  return NULL;
}

static int open_again(struct core_slot *slot) {
  struct caller caller = {.random = stress_seed};
  ltp_core_options options;
  ltp_error error = {0};
  ltp_core *core = NULL;
  set_options(&caller, slot, &options);
  options.flags &= ~LTP_OPEN_VERIFY_TAIL;
  int32_t status = ltp_core_open(&options, &core, &error);
  if (status != LTP_OK) {
    stress_found("%s does not verify: %d, %s", slot->directory, (int)status, error.message);
    return 1;
  }
  status = ltp_core_close(core, 20 * SECOND, &error);
  if (status != LTP_OK) stress_found("%s: closing: %d, %s", slot->directory, (int)status, error.message);
  return status != LTP_OK;
}

static void prepare(const char *directory, unsigned seconds) {
  world.directory = directory;
  for (unsigned index = 0; index < CORES; index++) {
    world.cores[index].number = index;
    world.cores[index].directory = stress_directory(directory, "trace", index);
    world.cores[index].kind = index % KINDS;
  }
  snprintf(world.page_path, sizeof world.page_path, "%s/page", directory);
  ltp_policy_default(&world.policy);
  ltp_signal_rules_default(&world.rules, sizeof world.rules);
  for (size_t signal = 0; signal < sizeof world.rules.rules / sizeof *world.rules.rules; signal++)
    if (world.rules.rules[signal].condition != LTP_CONDITION_NONE) {
      world.rules.rules[signal].enter_dwell_ns = 0;
      world.rules.rules[signal].exit_dwell_ns = MILLISECOND;
    }
  world.rules.state_dwell_ns = MILLISECOND;
  world.rules.recovering_ns = MILLISECOND;
  ltp_throttle_init(&world.throttle, NULL);
  /* A core that follows a page needs one that is there. */
  ltp_page *page = NULL;
  int32_t status = ltp_page_open(world.page_path, SECOND, &page, NULL);
  if (status != LTP_OK) stress_found("ltp_page_open: %s", ltp_status_text(status));
  ltp_page_close(page);
  world.until = stress_now_ns() + (uint64_t)seconds * SECOND;
}

int stress_calls(const char *directory, unsigned seconds) {
  static struct caller callers[CALLERS];
  pthread_t threads[CALLERS];
  prepare(directory, seconds);
  for (unsigned index = 0; index < CALLERS; index++) {
    callers[index].random = stress_seed + index * 0x5851F42D4C957F2Du;
    if (pthread_create(&threads[index], NULL, call_many, &callers[index]) != 0) return 1;
  }
  uint64_t calls = 0, cores = 0, lanes = 0, pages = 0, executed = 0, released = 0;
  for (unsigned index = 0; index < CALLERS; index++) {
    pthread_join(threads[index], NULL);
    calls += callers[index].calls;
    cores += callers[index].opened_cores;
    lanes += callers[index].opened_lanes;
    pages += callers[index].opened_pages;
    executed += callers[index].executed;
    released += callers[index].released;
  }
  for (unsigned index = 0; index < CORES; index++) {
    struct core_slot *slot = &world.cores[index];
    if (slot->core != NULL && close_core(slot, 20 * SECOND) != LTP_OK) stress_found("a core does not close");
    open_again(slot);
  }
  close_all_pages();
  printf("     %llu calls; %llu cores, %llu lanes, %llu pages opened; %llu executed, %llu permits released\n",
         (unsigned long long)calls, (unsigned long long)cores, (unsigned long long)lanes,
         (unsigned long long)pages, (unsigned long long)executed, (unsigned long long)released);
  /* Under a sanitizer there is a permit to release once a second or so. */
  int is_long = seconds >= 30;
  if (executed == 0 || lanes == 0 || pages == 0 || (is_long && released == 0)) stress_found("nothing much was done");
  return stress_findings() != 0;
}
