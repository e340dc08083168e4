/* SPDX-License-Identifier: Apache-2.0
 * Another thread changes what a call is given while the call looks at it. What is accepted must be what was checked. */
#define _GNU_SOURCE
#include "check.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

/* A word of 8 bytes that a thread flips between two values until it is told to stop. */
struct flipper {
  uint64_t *word;
  uint64_t values[2];
  int stop;
  pthread_t thread;
};

static void *flip(void *pointer) {
  struct flipper *flipper = pointer;
  for (unsigned turn = 0; !__atomic_load_n(&flipper->stop, __ATOMIC_ACQUIRE); turn++)
    __atomic_store_n(flipper->word, flipper->values[turn & 1], __ATOMIC_RELAXED);
  return NULL;
}

static void start(struct flipper *flipper, void *place, const void *one, const void *other) {
  flipper->word = place;
  memcpy(&flipper->values[0], one, sizeof flipper->values[0]);
  memcpy(&flipper->values[1], other, sizeof flipper->values[1]);
  flipper->stop = 0;
  REQUIRE_EQUAL(pthread_create(&flipper->thread, NULL, flip, flipper), 0);
}

static void stop(struct flipper *flipper) {
  __atomic_store_n(&flipper->stop, 1, __ATOMIC_RELEASE);
  pthread_join(flipper->thread, NULL);
}

static const ltp_policy_rule denies = {LTP_VERDICT_DENY, LTP_REASON_SYSTEM_FAILED, 0, 0, 0};
static const ltp_policy_rule forbidden = {LTP_VERDICT_EXECUTE, LTP_REASON_ADMITTED, 0, 0, 0};
static const ltp_policy_rule outside = {255, 255, 0, 0, 0};

/* A core for thousands of policies: quick, and of little disk. */
static ltp_core *open_loading(void) {
  ltp_core_options options = small_options(new_directory());
  options.commit_interval_ns = 50000;
  options.retain_segments = 2;
  return open_core(&options);
}

/* Loads a policy whose rule for payments in FAILED is flipped, and asks each one that was accepted. */
static void load_while_it_flips(const ltp_policy_rule *bad) {
  static ltp_policy policy;
  ltp_core *core = open_loading();
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_FAILED);
  ltp_policy_default(&policy);
  struct flipper flipper;
  start(&flipper, &policy.rules[LTP_STATE_FAILED][CLASS_PAYMENT], &denies, bad);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 3000; round++) {
    int32_t status = ltp_policy_load(core, &policy, NULL, NULL);
    if (status != LTP_OK) {
      refused++;
      continue;
    }
    loaded++;
    ltp_route_request asked = request((uint64_t)round, 1, CLASS_PAYMENT);
    ltp_verdict verdict = admit(lane, &asked);
    REQUIRE_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
    REQUIRE(verdict.reason == LTP_REASON_SYSTEM_FAILED || verdict.reason == LTP_REASON_TRACE_BACKPRESSURE);
  }
  stop(&flipper);
  CHECK_EQUAL(loaded + refused, 3000);
  CHECK(loaded > 0);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static void no_critical_execute_is_loaded(void) { load_while_it_flips(&forbidden); }

static void no_byte_outside_is_loaded(void) { load_while_it_flips(&outside); }

static void no_critical_execute_is_opened(void) {
  static ltp_policy policy;
  ltp_policy_default(&policy);
  struct flipper flipper;
  start(&flipper, &policy.rules[LTP_STATE_FAILED][CLASS_PAYMENT], &denies, &forbidden);
  ltp_core_options options = small_options(new_directory());
  options.policy = &policy;
  options.storage = LTP_STORAGE_PWRITEV;
  options.retain_segments = 2;
  for (int round = 0; round < 150; round++) {
    ltp_core *core = NULL;
    int32_t status = ltp_core_open(&options, &core, NULL);
    if (status == LTP_ERROR_POLICY_NEVER_1) continue;
    REQUIRE_EQUAL(status, LTP_OK);
    ltp_lane *lane = open_lane(core);
    publish(core, LTP_STATE_FAILED);
    ltp_route_request asked = request((uint64_t)round, 1, CLASS_PAYMENT);
    REQUIRE_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_DENY);
    REQUIRE_EQUAL(ltp_lane_close(lane), LTP_OK);
    close_core(core);
  }
  stop(&flipper);
}

/* What a shadow says is in the trace only; here it is enough that what was refused by one look was refused. */
static void shadows_are_checked_as_loaded(void) {
  static ltp_policy policy;
  ltp_core *core = open_loading();
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_FAILED);
  ltp_policy_default(&policy);
  struct flipper flipper;
  start(&flipper, &policy.rules[LTP_STATE_FAILED][CLASS_PAYMENT], &denies, &outside);
  for (int round = 0; round < 500; round++) {
    int32_t status = ltp_policy_shadow(core, &policy, NULL, NULL);
    REQUIRE(status == LTP_OK || status == LTP_ERROR_POLICY_RULE || status == LTP_ERROR_BACKPRESSURE);
    ltp_route_request asked = request((uint64_t)round, 1, CLASS_PAYMENT);
    REQUIRE_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_DENY);
    ltp_policy_error error;
    status = ltp_policy_check(&policy, &error);
    REQUIRE(status == LTP_OK || status == LTP_ERROR_POLICY_RULE);
    REQUIRE_EQUAL(error.status, status);
  }
  stop(&flipper);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

/* The text is compared with those that are there, and then stored: "a" and "b" are two texts, however they alternate. */
static void one_text_has_one_id(void) {
  ltp_core *core = open_small(new_directory());
  static _Alignas(8) char text[8] = "a";
  struct flipper flipper;
  start(&flipper, text, "a\0\0\0\0\0\0", "b\0\0\0\0\0\0");
  for (int round = 0; round < 100000; round++) {
    uint32_t id = 0;
    REQUIRE_EQUAL(ltp_text_intern(core, text, &id), LTP_OK);
    REQUIRE(id == 1 || id == 2);
  }
  stop(&flipper);
  close_core(core);
}

/* A session of 0 is refused. */
static void hellos_are_answered_as_checked(void) {
  ltp_core_options options = small_options(new_directory());
  options.retain_segments = 2;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  ltp_hello hello, answer;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  hello.client_nonce = 1;
  hello.version_min = hello.version_max = LTP_PROTOCOL_VERSION;
  uint64_t sessions[2] = {1, 0};
  struct flipper flipper;
  start(&flipper, &hello.session_id, &sessions[0], &sessions[1]);
  for (int round = 0; round < 100000; round++) {
    int32_t status = ltp_hello_answer(lane, &hello, sizeof hello, &answer);
    REQUIRE(status == LTP_OK || status == LTP_ERROR_FRAME_RANGE);
    if (status == LTP_OK) REQUIRE_EQUAL(answer.session_id, 1);
  }
  stop(&flipper);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

/* Verdict and reason go together, and only a denial has a time to wait. */
static void responses_are_of_one_verdict(void) {
  ltp_route_request asked = request(1, 1, CLASS_READ);
  ltp_verdict executes = {.epoch = 1, .retry_after_ms = 77, .policy_generation = 1, .verdict = LTP_VERDICT_EXECUTE,
                          .reason = LTP_REASON_ADMITTED, .state = LTP_STATE_HEALTHY};
  ltp_verdict refuses = executes, verdict = executes;
  refuses.verdict = LTP_VERDICT_DENY;
  refuses.reason = LTP_REASON_POLICY_FORBIDS;
  struct flipper flipper;
  start(&flipper, &verdict.policy_generation, &executes.policy_generation, &refuses.policy_generation);
  for (int round = 0; round < 300000; round++) {
    ltp_route_response response;
    REQUIRE_EQUAL(ltp_response_write(&asked, sizeof asked, &verdict, &response), LTP_OK);
    REQUIRE_EQUAL(response.retry_after_ms, response.verdict == LTP_VERDICT_EXECUTE ? 0 : 77);
  }
  stop(&flipper);
}

/* ---- Another process, by memory that both have ---- */

static void changed_by_another_process(void) {
  ltp_policy *policy =
    mmap(NULL, sizeof *policy, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(policy != MAP_FAILED);
  ltp_policy_default(policy);
  ltp_policy_rule *rule = &policy->rules[LTP_STATE_FAILED][CLASS_PAYMENT];
  int child = fork();
  if (child == 0) {
    uint64_t words[2];
    memcpy(&words[0], &denies, sizeof words[0]);
    memcpy(&words[1], &forbidden, sizeof words[1]);
    for (unsigned turn = 0;; turn++) __atomic_store_n((uint64_t *)(void *)rule, words[turn & 1], __ATOMIC_RELAXED);
  }
  ltp_core *core = open_loading();
  ltp_lane *lane = open_lane(core);
  publish(core, LTP_STATE_FAILED);
  for (int round = 0; round < 3000; round++) {
    if (ltp_policy_load(core, policy, NULL, NULL) != LTP_OK) continue;
    ltp_route_request asked = request((uint64_t)round, 1, CLASS_PAYMENT);
    REQUIRE_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_DENY);
  }
  kill(child, SIGKILL);
  CHECK_EQUAL(wait_for(child), 128 + SIGKILL);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

/* ---- A change at a known place: the first look at a page lets it in ---- */

static struct {
  uint8_t *base, *page;
  void *place;
  uint8_t bytes[16];
  size_t count;
} trap;

static void spring(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  uint8_t *address = info->si_addr;
  if (address < trap.page || address >= trap.page + PAGE) abort();
  if (mprotect(trap.page, PAGE, PROT_READ | PROT_WRITE) != 0) abort();
  memcpy(trap.place, trap.bytes, trap.count);
}

/* Room for a structure whose byte at `boundary` is the first of a page that is not to be read yet, with pages around it. */
static void *prepare(size_t boundary) {
  enum { PAGES = 16 };
  trap.base = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(trap.base != MAP_FAILED);
  trap.page = trap.base + 5 * PAGE;
  struct sigaction action = {.sa_sigaction = spring, .sa_flags = SA_SIGINFO};
  REQUIRE_EQUAL(sigaction(SIGSEGV, &action, NULL), 0);
  return trap.page - boundary;
}

/* From now on, the first look at the page changes what lies at `place`. */
static void arm(void *place, const void *bytes, size_t count) {
  REQUIRE(count <= sizeof trap.bytes);
  trap.place = place;
  trap.count = count;
  memcpy(trap.bytes, bytes, count);
  REQUIRE_EQUAL(mprotect(trap.page, PAGE, PROT_NONE), 0);
}

/* The check reads rules class by class: when it comes to the states of the trapped page, it has seen class 0 in UNKNOWN. */
static ltp_policy *trapped_policy(const ltp_policy_rule *bad) {
  ltp_policy *policy = prepare(LTP_POLICY_LIMITS_OFFSET - PAGE);
  REQUIRE_EQUAL(ltp_policy_default(policy), LTP_OK);
  policy->classes[CLASS_PING].attributes &= ~LTP_CLASS_RECOVERY;
  policy->rules[LTP_STATE_UNKNOWN][CLASS_PING] =
    (ltp_policy_rule){LTP_VERDICT_DENY, LTP_REASON_ORIENTATION_UNKNOWN, 0, 0, 0};
  REQUIRE_EQUAL(ltp_policy_check(policy, NULL), LTP_OK);
  arm(&policy->rules[LTP_STATE_UNKNOWN][CLASS_PING], bad, sizeof *bad);
  return policy;
}

static void load_trapped(const ltp_policy_rule *bad) {
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core);
  ltp_policy *policy = trapped_policy(bad);
  CHECK_EQUAL(ltp_policy_load(core, policy, NULL, NULL), LTP_OK);
  /* It was changed under way. */
  CHECK(memcmp(&policy->rules[LTP_STATE_UNKNOWN][CLASS_PING], bad, sizeof *bad) == 0);
  ltp_route_request asked = request(1, 1, CLASS_PING);
  ltp_verdict verdict = admit(lane, &asked);
  CHECK_EQUAL(verdict.verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(verdict.reason, LTP_REASON_ORIENTATION_UNKNOWN);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static void a_policy_is_loaded_as_checked(void) { load_trapped(&forbidden); }
static void a_policy_is_loaded_as_checked_in_range(void) { load_trapped(&outside); }

static void a_core_is_opened_as_checked(void) {
  ltp_core_options options = small_options(new_directory());
  options.policy = trapped_policy(&forbidden);
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  ltp_route_request asked = request(1, 1, CLASS_PING);
  CHECK_EQUAL(admit(lane, &asked).verdict, LTP_VERDICT_DENY);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

/* Measured, and then copied: the text that is stored is the one that was measured. */
static void a_text_is_stored_as_measured(void) {
  ltp_core *core = open_small(new_directory());
  char *text = prepare(2);
  memcpy(text, "abc", 4);
  arm(text, "x", 1);
  uint32_t torn = 0, whole = 0;
  CHECK_EQUAL(ltp_text_intern(core, text, &torn), LTP_OK);
  CHECK_EQUAL(text[0], 'x');
  CHECK_EQUAL(ltp_text_intern(core, "abc", &whole), LTP_OK);
  CHECK_EQUAL(torn, whole);
  close_core(core);
}

static void a_hello_is_answered_as_checked(void) {
  ltp_core *core = open_small(new_directory());
  ltp_lane *lane = open_lane(core);
  ltp_hello *hello = prepare(40), answer = {.session_id = 99};
  ltp_frame_init(hello, sizeof *hello, LTP_FRAME_HELLO, 0);
  hello->session_id = 7;
  hello->client_nonce = 1;
  hello->version_min = hello->version_max = LTP_PROTOCOL_VERSION;
  uint64_t none = 0;
  arm(&hello->session_id, &none, sizeof none);
  int32_t status = ltp_hello_answer(lane, hello, sizeof *hello, &answer);
  CHECK_EQUAL(hello->session_id, 0);
  CHECK(status == LTP_OK || status == LTP_ERROR_FRAME_RANGE);
  CHECK_EQUAL(answer.session_id, status == LTP_OK ? 7 : 99);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static void a_response_is_of_one_verdict(void) {
  ltp_route_request asked = request(1, 1, CLASS_READ);
  ltp_route_response response;
  ltp_verdict *verdict = prepare(offsetof(ltp_verdict, verdict));
  *verdict = (ltp_verdict){5, 5, 5, LTP_VERDICT_DENY, LTP_REASON_POLICY_FORBIDS, LTP_STATE_HEALTHY, 0};
  uint32_t other[3] = {6, 6, 6};
  arm(verdict, other, sizeof other);
  CHECK_EQUAL(ltp_response_write(&asked, sizeof asked, verdict, &response), LTP_OK);
  CHECK_EQUAL(verdict->epoch, 6);
  CHECK_EQUAL(response.policy_generation, response.epoch);
  CHECK_EQUAL(response.retry_after_ms, response.epoch);
}

/* struct_size says how much there is to read: the size that was checked counts. */
static void a_size_is_read_once(void) {
  ltp_core *core = open_small(new_directory());
  ltp_transition *change = prepare(sizeof *change);
  memset(change, 0, sizeof *change + 64);
  change->struct_size = sizeof *change + 64;
  change->to = LTP_STATE_HEALTHY;
  change->reason = LTP_SIGNAL_OPERATOR;
  uint32_t huge = UINT32_MAX;
  arm(&change->struct_size, &huge, sizeof huge);
  CHECK_EQUAL(ltp_orientation_publish(core, change, NULL), LTP_OK);
  CHECK_EQUAL(change->struct_size, UINT32_MAX);
  close_core(core);
}

/* Paths are copied, and nothing beyond their end is read. */
static void paths(void) {
  char *edge = prepare(0);
  const char *directory = new_directory();
  size_t length = strlen(directory) + 1;
  memcpy(edge - length, directory, length);
  REQUIRE_EQUAL(mprotect(trap.page, PAGE, PROT_NONE), 0);
  trap.page = NULL; /* a look at it ends the test */
  ltp_core_options options = small_options(edge - length);
  close_core(open_core(&options));
  static char longest[2 * PAGE];
  memset(longest, 'x', sizeof longest - 1);
  longest[0] = '/';
  options = small_options(longest);
  ltp_core *core = NULL;
  ltp_page *page = NULL;
  ltp_error error;
  CHECK_EQUAL(ltp_core_open(&options, &core, &error), LTP_ERROR_TRACE_DIRECTORY);
  CHECK_EQUAL(error.system_error, ENAMETOOLONG);
  CHECK_EQUAL(ltp_page_open(longest, SECOND, &page, &error), LTP_ERROR_PAGE_FILE);
  CHECK_EQUAL(error.system_error, ENAMETOOLONG);
  options = small_options(directory);
  options.orientation_page = longest;
  CHECK_EQUAL(ltp_core_open(&options, &core, &error), LTP_ERROR_PAGE_FILE);
  CHECK_EQUAL(error.system_error, ENAMETOOLONG);
}

/* A header that says now one line, now two, of a frame behind whose one line nothing may be read. */
static void no_byte_behind_a_frame_is_read(void) {
  long page = sysconf(_SC_PAGESIZE);
  uint8_t *base = mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(base != MAP_FAILED);
  REQUIRE_EQUAL(mprotect(base + page, (size_t)page, PROT_NONE), 0);
  ltp_core_options options = small_options(new_directory());
  options.retain_segments = 2;
  ltp_core *core = open_core(&options);
  ltp_lane *lane = open_lane(core);
  ltp_route_request asked = request(1, 1, CLASS_READ);
  ltp_frame_header one_line = asked.header, two_lines = asked.header;
  two_lines.flags = LTP_REQUEST_REPLAY;
  two_lines.size_bytes = sizeof(ltp_long_request);
  uint8_t *frame = base + page - sizeof asked;
  memcpy(frame, &asked, sizeof asked);
  struct flipper flipper;
  start(&flipper, frame, &one_line, &two_lines);
  for (int round = 0; round < 1000000; round++) {
    ltp_admit(lane, frame, sizeof asked);
    ltp_frame_check(frame, sizeof asked, NULL);
  }
  stop(&flipper);
  CHECK_EQUAL(ltp_lane_close(lane), LTP_OK);
  close_core(core);
}

static const struct test tests[] = {
  {"a policy that changes while it is loaded: no critical EXECUTE in FAILED", no_critical_execute_is_loaded},
  {"a policy that changes while it is loaded: no byte out of range", no_byte_outside_is_loaded},
  {"a policy that changes while a core is opened with it", no_critical_execute_is_opened},
  {"a shadow policy that changes while it is loaded or checked", shadows_are_checked_as_loaded},
  {"a text that changes while it is interned", one_text_has_one_id},
  {"a hello that changes while it is answered", hellos_are_answered_as_checked},
  {"a verdict that changes while its response is written", responses_are_of_one_verdict},
  {"a policy that another process changes", changed_by_another_process},
  {"a policy that changes after its check: the never list", a_policy_is_loaded_as_checked},
  {"a policy that changes after its check: a byte out of range", a_policy_is_loaded_as_checked_in_range},
  {"a policy that changes after its check: a core is opened", a_core_is_opened_as_checked},
  {"a text that changes after it was measured", a_text_is_stored_as_measured},
  {"a hello that changes after its check", a_hello_is_answered_as_checked},
  {"a verdict that changes between its fields", a_response_is_of_one_verdict},
  {"a size that changes after it was checked", a_size_is_read_once},
  {"paths, up to a guard page and too long", paths},
  {"a frame that changes while it is decided: nothing behind it is read", no_byte_behind_a_frame_is_read},
  {NULL, NULL},
};
const struct suite suite_torn = {"torn", tests};
