/* SPDX-License-Identifier: Apache-2.0
 *
 * stress.h: what the modes of the stress program share. A mode runs against the C library for so many seconds, with its
 * traces under a directory of its own, says on standard error what it found, and returns 0 when that is nothing.
 */
#ifndef LTP_STRESS_H
#define LTP_STRESS_H

#include "ltp.h"

#define SECOND ((uint64_t)1000000000)
#define MILLISECOND ((uint64_t)1000000)

int stress_calls(const char *directory, unsigned seconds);
int stress_policies(const char *directory, unsigned seconds);
int stress_torn_policy(const char *directory, unsigned seconds);

/* What all random choices come from: --seed, or one that is new with each run. */
extern uint64_t stress_seed;

/* SplitMix64. */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t word = (*state += 0x9E3779B97F4A7C15u);
  word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9u;
  word = (word ^ word >> 27) * 0x94D049BB133111EBu;
  return word ^ word >> 31;
}
/* 0 to count - 1. */
static inline uint32_t pick(uint64_t *state, uint32_t count) { return (uint32_t)(next_random(state) % count); }

uint64_t stress_now_ns(void);
void stress_sleep_ns(uint64_t nanoseconds);
/* Says what is wrong, once a place is enough: the mode goes on, and fails. */
void stress_found(const char *format, ...);
int stress_findings(void);
/* Makes a directory under another one; returns its path in static storage that is the caller's for good. */
const char *stress_directory(const char *under, const char *name, unsigned number);
void stress_remove(const char *directory);

#endif
