/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "deferral_measure.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "bench-deferral: ");
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

void figure(const char *name, double value) { printf("%s %.9g\n", name, value); }

uint64_t number_from(const char *text, const char *what) {
  char *end;
  unsigned long long number = strtoull(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != 0 || number == 0) fail("%s is a number of at least 1, not \"%s\"", what, text);
  return number;
}

uint64_t resident_bytes(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  unsigned long long pages;
  if (file == NULL || fscanf(file, "%*u %llu", &pages) != 1) fail("cannot read /proc/self/statm");
  fclose(file);
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t processor_ns(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000u +
         (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000u;
}

static const char payload_model[PAYLOAD_BYTES + 1] =
  "{\"order\": \"0000000000000000\", \"customer\": \"c-48213377\", \"currency\": \"EUR\", \"amount\": 129900, "
  "\"items\": [{\"sku\": \"A-1009-77\", \"count\": 2}, {\"sku\": \"B-2210-03\", \"count\": 1}], "
  "\"note\": \"ring twice, pls.\" }";
#define PAYLOAD_NUMBER_OFFSET 11
#define PAYLOAD_NUMBER_DIGITS 16

void payload_write(char payload[PAYLOAD_BYTES], uint64_t number) {
  memcpy(payload, payload_model, PAYLOAD_BYTES);
  for (int digit = PAYLOAD_NUMBER_DIGITS - 1; digit >= 0; digit--, number >>= 4)
    payload[PAYLOAD_NUMBER_OFFSET + digit] = "0123456789abcdef"[number & 15];
}

static int ascending(const void *a, const void *b) {
  uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
  return (one > other) - (one < other);
}

spread spread_of(uint64_t *nanoseconds, size_t count) {
  if (count == 0) fail("nothing was measured");
  qsort(nanoseconds, count, sizeof *nanoseconds, ascending);
  return (spread){
    .low = (double)nanoseconds[count / 10] / 1e3,
    .median = (double)nanoseconds[count / 2] / 1e3,
    .p99 = (double)nanoseconds[count * 99 / 100] / 1e3};
}

static int ascending_values(const void *a, const void *b) {
  double one = *(const double *)a, other = *(const double *)b;
  return (one > other) - (one < other);
}

double median_of(double *values, size_t count) {
  if (count == 0) fail("nothing was measured");
  qsort(values, count, sizeof *values, ascending_values);
  return values[count / 2];
}

/* ---- The crowd ----------------------------------------------------------------------------------------- */

typedef struct caller {
  const crowd *crowd;
  pthread_barrier_t *barrier;
  int index;
  uint64_t *waits;
  size_t count, capacity;
  uint64_t ended;
} caller;

static void *call(void *argument) {
  caller *self = argument;
  const crowd *crowd = self->crowd;
  /* For profiles. */
  pthread_setname_np(pthread_self(), "bench-caller");
  pthread_barrier_wait(self->barrier);
  uint64_t began = now_ns(), until = began + (uint64_t)(crowd->seconds * 1e9);
  do {
    crowd->once(crowd->context, self->index, self->count);
    if (self->count == self->capacity) {
      self->capacity = self->capacity ? 2 * self->capacity : 4096;
      self->waits = realloc(self->waits, self->capacity * sizeof *self->waits);
      if (self->waits == NULL) fail("out of memory");
    }
    self->ended = now_ns();
    self->waits[self->count++] = self->ended - began;
    began = self->ended;
  } while (began < until);
  return NULL;
}

crowd_result crowd_run(const crowd *crowd) {
  if (crowd->callers > CALLERS_MAX) fail("at most %d callers", CALLERS_MAX);
  static caller callers[CALLERS_MAX];
  static pthread_t threads[CALLERS_MAX];
  pthread_barrier_t barrier;
  pthread_attr_t attributes;
  pthread_barrier_init(&barrier, NULL, (unsigned)crowd->callers + 1);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 512 << 10);
  for (int index = 0; index < crowd->callers; index++) {
    callers[index] = (caller){.crowd = crowd, .barrier = &barrier, .index = index};
    if (pthread_create(&threads[index], &attributes, call, &callers[index]) != 0) fail("no thread for caller %d", index);
  }
  pthread_barrier_wait(&barrier);
  uint64_t began = now_ns(), ended = began, processor = processor_ns();
  size_t count = 0;
  for (int index = 0; index < crowd->callers; index++) {
    pthread_join(threads[index], NULL);
    count += callers[index].count;
    if (callers[index].ended > ended) ended = callers[index].ended;
  }
  processor = processor_ns() - processor;
  uint64_t *waits = malloc(count * sizeof *waits);
  if (waits == NULL) fail("out of memory");
  size_t copied = 0;
  for (int index = 0; index < crowd->callers; index++) {
    memcpy(waits + copied, callers[index].waits, callers[index].count * sizeof *waits);
    copied += callers[index].count;
    free(callers[index].waits);
  }
  crowd_result result = {
    .jobs = count,
    .seconds = (double)(ended - began) / 1e9,
    .processor_us = (double)processor / 1e3 / (double)count,
    .waits = spread_of(waits, count)};
  free(waits);
  return result;
}
