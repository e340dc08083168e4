/* SPDX-License-Identifier: Apache-2.0
 *
 * Long runs of one kind of trouble against the C library. scripts/stress builds and starts it.
 *
 *   stress DIRECTORY SECONDS SEED [MODE...]
 *
 * Each mode runs in a process of its own, so that a crash or a hang is its own. The last line is "N passed, N failed".
 */
#define _GNU_SOURCE
#include "stress.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Set in the environment of a mode's own process. */
#define IS_MODE "LTP_STRESS_IS_MODE"
/* How long a mode may take to come to its end, beyond its seconds. */
#define END_SECONDS 120
#define FINDINGS_SHOWN 20

static const struct {
  const char *name;
  int (*run)(const char *directory, unsigned seconds);
} modes[] = {
  {"policies", stress_policies},
  {"torn-policy", stress_torn_policy},
  {"calls", stress_calls},
};
#define MODES (sizeof modes / sizeof *modes)

uint64_t stress_seed;
static int findings;

uint64_t stress_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void stress_sleep_ns(uint64_t nanoseconds) {
  struct timespec duration = {
    .tv_sec = (time_t)(nanoseconds / SECOND), .tv_nsec = (long)(nanoseconds % SECOND)};
  nanosleep(&duration, NULL);
}

void stress_found(const char *format, ...) {
  if (__atomic_add_fetch(&findings, 1, __ATOMIC_RELAXED) > FINDINGS_SHOWN) return;
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fprintf(stderr, "    %s\n", text);
}

int stress_findings(void) { return __atomic_load_n(&findings, __ATOMIC_RELAXED); }

const char *stress_directory(const char *under, const char *name, unsigned number) {
  size_t bytes = strlen(under) + strlen(name) + 16;
  char *path = malloc(bytes);
  if (path == NULL) abort();
  snprintf(path, bytes, "%s/%s-%u", under, name, number);
  if (mkdir(path, 0700) != 0 && errno != EEXIST) {
    perror(path);
    abort();
  }
  return path;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
  (void)status, (void)type, (void)walk;
  return remove(path);
}

void stress_remove(const char *directory) { nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

/* In a process of its own. */
static int run_here(size_t mode, const char *directory, unsigned seconds) {
  alarm(seconds + END_SECONDS);
  int result = modes[mode].run(directory, seconds);
  return result != 0 || stress_findings() != 0;
}

static int run(size_t mode, const char *root, unsigned seconds) {
  const char *directory = stress_directory(root, modes[mode].name, 0);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    /* A new program, because Swift's runtime keeps the thread's number, which is another one after a fork. */
    char period[16], seed[32];
    snprintf(period, sizeof period, "%u", seconds);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)stress_seed);
    setenv(IS_MODE, "1", 1);
    execl("/proc/self/exe", "stress", directory, period, seed, modes[mode].name, (char *)NULL);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return 1;
  if (WIFSIGNALED(status)) fprintf(stderr, "    ended by signal %d\n", WTERMSIG(status));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    stress_remove(directory);
    return 0;
  }
  fprintf(stderr, "    what it wrote is in %s\n", directory);
  return 1;
}

static int is_wanted(const char *name, int count, char **names) {
  for (int index = 0; index < count; index++)
    if (strcmp(name, names[index]) == 0) return 1;
  return count == 0;
}

/* MODES: there is none of that name. */
static size_t find_mode(const char *name) {
  size_t mode = 0;
  while (mode < MODES && strcmp(modes[mode].name, name) != 0) mode++;
  return mode;
}

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "usage: stress DIRECTORY SECONDS SEED [MODE...]\nmodes:");
    for (size_t mode = 0; mode < MODES; mode++) fprintf(stderr, " %s", modes[mode].name);
    fprintf(stderr, "\n");
    return 2;
  }
  for (int index = 4; index < count; index++)
    if (find_mode(arguments[index]) == MODES) {
      fprintf(stderr, "stress: no mode is named \"%s\"\n", arguments[index]);
      return 2;
    }
  unsigned seconds = (unsigned)strtoul(arguments[2], NULL, 10);
  stress_seed = strtoull(arguments[3], NULL, 10);
  if (getenv(IS_MODE) != NULL && count == 5) return run_here(find_mode(arguments[4]), arguments[1], seconds);
  if (stress_seed == 0) stress_seed = stress_now_ns();
  printf("seed %llu\n", (unsigned long long)stress_seed);
  int passed = 0, failed = 0;
  for (size_t mode = 0; mode < MODES; mode++) {
    if (!is_wanted(modes[mode].name, count - 4, arguments + 4)) continue;
    int result = run(mode, arguments[1], seconds);
    passed += result == 0;
    failed += result != 0;
    printf("%s %s\n", result == 0 ? "ok  " : "FAIL", modes[mode].name);
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
