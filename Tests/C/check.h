/* SPDX-License-Identifier: Apache-2.0
 *
 * check.h: what the C tests are written with. Each test runs in a process of its own, so that a crash, a hang
 * or a limit that it sets is its own; a test that cannot run here says why.
 */
#ifndef LTP_CHECK_H
#define LTP_CHECK_H

#include <stddef.h>

struct test {
  const char *name;
  void (*run)(void);
};

struct suite {
  const char *name;
  const struct test *tests; /* ends with a NULL name */
};

extern const struct suite suite_abi, suite_frames, suite_policy, suite_core, suite_lane, suite_limits,
  suite_hostile, suite_threads, suite_storage, suite_run, suite_page, suite_page_file, suite_poll, suite_signals,
  suite_permits, suite_torn, suite_handles, suite_close, suite_domains, suite_session, suite_deferral, suite_intent_ends,
  suite_proof;

/* Notes a failure and goes on. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))
#define CHECK_EQUAL(actual, expected) \
  check_equal(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
#define CHECK_TEXT(text, part) check_text(__FILE__, __LINE__, #text, (text), (part))
/* Notes a failure and ends the test: what follows would make no sense. */
#define REQUIRE(condition) ((condition) ? (void)0 : check_ended(__FILE__, __LINE__, #condition))
#define REQUIRE_EQUAL(actual, expected) \
  check_required(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))

void check_failed(const char *file, int line, const char *what);
void check_ended(const char *file, int line, const char *what);
void check_equal(const char *file, int line, const char *what, long long actual, long long expected);
void check_required(const char *file, int line, const char *what, long long actual, long long expected);
/* part occurs in text. */
void check_text(const char *file, int line, const char *what, const char *text, const char *part);
/* Ends the test: it cannot run here, and why. */
void cannot_run(const char *why, ...);
/* For processes that a test forks: 1 when a check failed in this one. */
int check_status(void);

#endif
