/* SPDX-License-Identifier: Apache-2.0
 * Runs the C tests, each in a process of its own. Arguments: parts of names to run; none runs all.
 * The last line is "N passed, N failed" with what could not run here before it. */
#define _GNU_SOURCE
#include "check.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST_SECONDS_MAX 90
#define EXIT_CANNOT_RUN 77

static const struct suite *const suites[] = {
  &suite_abi,    &suite_frames,  &suite_policy,  &suite_core,    &suite_lane,
  &suite_limits, &suite_hostile, &suite_threads, &suite_storage, &suite_run,
  &suite_page,   &suite_page_file, &suite_poll, &suite_signals, &suite_permits,
  &suite_torn,   &suite_handles, &suite_close,   &suite_domains, &suite_session, &suite_deferral, &suite_intent_ends,
  &suite_proof,
};

static int failures;

int check_status(void) { return failures != 0; }

void check_failed(const char *file, int line, const char *what) {
  __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
  fprintf(stderr, "    %s:%d: %s\n", file, line, what);
}

void check_ended(const char *file, int line, const char *what) {
  check_failed(file, line, what);
  _exit(1);
}

void check_equal(const char *file, int line, const char *what, long long actual, long long expected) {
  if (actual == expected) return;
  __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
  fprintf(stderr, "    %s:%d: %s is %lld, not %lld\n", file, line, what, actual, expected);
}

void check_required(const char *file, int line, const char *what, long long actual, long long expected) {
  check_equal(file, line, what, actual, expected);
  if (actual != expected) _exit(1);
}

void check_text(const char *file, int line, const char *what, const char *text, const char *part) {
  if (strstr(text, part) != NULL) return;
  __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
  fprintf(stderr, "    %s:%d: %s is \"%s\", without \"%s\"\n", file, line, what, text, part);
}

void cannot_run(const char *why, ...) {
  va_list arguments;
  va_start(arguments, why);
  printf("    cannot run here: ");
  vprintf(why, arguments);
  printf("\n");
  va_end(arguments);
  fflush(stdout);
  _exit(EXIT_CANNOT_RUN);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
  (void)status, (void)type, (void)walk;
  return remove(path);
}

static int run(const struct test *test) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    alarm(TEST_SECONDS_MAX);
    test->run();
    fflush(stdout);
    /* Not exit(): the sanitizer's leak check would look at what a test leaves open on purpose. */
    _exit(failures != 0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return 1;
  if (WIFSIGNALED(status)) fprintf(stderr, "    ended by signal %d\n", WTERMSIG(status));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int is_wanted(const char *name, int count, char **parts) {
  for (int index = 1; index < count; index++)
    if (strstr(name, parts[index]) != NULL) return 1;
  return count < 2;
}

int main(int count, char **arguments) {
  char root[256];
  const char *base = getenv("TMPDIR");
  snprintf(root, sizeof root, "%s/ltp-c-XXXXXX", base ? base : "/tmp");
  if (mkdtemp(root) == NULL) {
    perror(root);
    return 2;
  }
  setenv("LTP_TEST_DIRECTORY", root, 1);
  int passed = 0, failed = 0, missing = 0;
  for (size_t place = 0; place < sizeof suites / sizeof *suites; place++) {
    for (const struct test *test = suites[place]->tests; test->name != NULL; test++) {
      char name[160];
      snprintf(name, sizeof name, "%s: %s", suites[place]->name, test->name);
      if (!is_wanted(name, count, arguments)) continue;
      int result = run(test);
      passed += result == 0;
      missing += result == EXIT_CANNOT_RUN;
      failed += result != 0 && result != EXIT_CANNOT_RUN;
      printf("%s %s\n", result == 0 ? "ok  " : result == EXIT_CANNOT_RUN ? "----" : "FAIL", name);
    }
  }
  nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  if (missing > 0) printf("%d could not run here\n", missing);
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
