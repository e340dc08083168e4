/* SPDX-License-Identifier: Apache-2.0
 *
 * What every program of the deferral benchmark measures with, whether it keeps its jobs with LTP, PostgreSQL or SQLite: a clock,
 * figures on standard output, the same payload, and callers who each wait until their own job is durable.
 */
#ifndef LTP_DEFERRAL_MEASURE_H
#define LTP_DEFERRAL_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* JSON, so that PostgreSQL's jsonb takes it as well. */
#define PAYLOAD_BYTES 200
#define CALLERS_MAX 1024

uint64_t now_ns(void);

/* Says what went wrong on standard error, and ends the process with 1. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* One line, "name value", for scripts/bench-deferral. */
void figure(const char *name, double value);

/* A number of at least 1 from the command line. */
uint64_t number_from(const char *text, const char *what);

/* Bytes of the process that are in memory now. */
uint64_t resident_bytes(void);

/* Nanoseconds of processor that the process has used, in all its threads. */
uint64_t processor_ns(void);

/* The payload of a job; each number has another one. */
void payload_write(char payload[PAYLOAD_BYTES], uint64_t number);

/* Sorts them. Microseconds. */
typedef struct spread {
  double low; /* the 10th percentile: of the least disturbed ones */
  double median;
  double p99;
} spread;
spread spread_of(uint64_t *nanoseconds, size_t count);

/* Sorts them too. */
double median_of(double *values, size_t count);

/* Callers that begin at one time, and each hand in one job after the other until the time is up. */
typedef struct crowd {
  int callers;
  double seconds;
  /* Hands in a job, and returns once it is durable. number: 0, 1, 2, ... of each caller. */
  void (*once)(void *context, int caller, uint64_t number);
  void *context;
} crowd;

typedef struct crowd_result {
  uint64_t jobs;
  double seconds; /* until the last caller had its answer */
  double processor_us; /* of this process, a job */
  spread waits;
} crowd_result;

crowd_result crowd_run(const crowd *crowd);

#endif
