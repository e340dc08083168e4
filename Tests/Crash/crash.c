/* SPDX-License-Identifier: Apache-2.0
 * Kills, races and shutdowns of real processes. scripts/crash says how to run it. */
#define _GNU_SOURCE
#include "kept.h"
#include "trace_reader.h"
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 1000000
#define MILLISECOND ((uint64_t)1000000)
/* A directory's trace is read as a whole after each kill, so it is kept short. */
#define KILLS_A_DIRECTORY 25

static struct witness witness;
static uint64_t session = 1000;
static uint64_t random_state = 1;

static uint64_t random_below(uint64_t limit) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (random_state >> 33) % limit;
}

static void sleep_ns(uint64_t nanoseconds) {
  struct timespec duration = {.tv_sec = (time_t)(nanoseconds / 1000000000),
                              .tv_nsec = (long)(nanoseconds % 1000000000)};
  nanosleep(&duration, NULL);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
  (void)status, (void)type, (void)walk;
  return remove(path);
}

static void renew(const char *directory) {
  nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  mkdir(directory, 0700);
  memset(&witness, 0, sizeof witness);
}

/* A victim and the end of its pipe. */
static pid_t start_victim(const char *directory, uint32_t storage, int rounds, int *ear) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) exit(2);
  /* Room for what is said while nobody listens. */
  fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
  session += 2;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    _exit(victim_run(directory, storage, session, ends[1], rounds));
  }
  close(ends[1]);
  *ear = ends[0];
  return child;
}

static int end_victim(pid_t child, int ear) {
  int status = 0;
  witness_listen(&witness, ear);
  close(ear);
  waitpid(child, &status, 0);
  return status;
}

/* Kills a victim after a random time. 1: it ended by itself, which it should not. */
static int kill_one(const char *directory, uint32_t storage, uint64_t within_ns) {
  int ear;
  pid_t child = start_victim(directory, storage, ROUNDS_MAX, &ear);
  sleep_ns(random_below(within_ns));
  kill(child, SIGKILL);
  int status = end_victim(child, ear);
  if (WIFSIGNALED(status)) return 0;
  printf("  the victim ended by itself with status %d\n", WEXITSTATUS(status));
  return 1;
}

static int verify(const char *directory, uint32_t storage) {
  return reopen(directory, storage) != 0 || witness_check(&witness, directory) != 0;
}

/* Row 1. */
static int kills(const char *directory, uint32_t storage, int count) {
  uint64_t acknowledged = 0;
  for (int round = 0; round < count; round++) {
    if (round % KILLS_A_DIRECTORY == 0) renew(directory);
    if (kill_one(directory, storage, 40 * MILLISECOND) || verify(directory, storage)) {
      printf("  at kill %d\n", round);
      return 1;
    }
    acknowledged += (uint64_t)witness.count;
  }
  if (acknowledged == 0) printf("  nothing was ever acknowledged\n");
  return acknowledged == 0;
}

/* Rows 1 and 28, of kept intents. What is left of each directory stays, for whoever reads its trace. */
static int kept(const char *directory, uint32_t storage, int count) {
  uint64_t effects = 0, seed = (uint64_t)time(NULL) * 1000;
  printf("  seed %lu\n", seed);
  mkdir(directory, 0700);
  for (int number = 0; number * KILLS_A_DIRECTORY < count; number++) {
    char place[512];
    snprintf(place, sizeof place, "%s/%d", directory, number);
    mkdir(place, 0700);
    int left = count - number * KILLS_A_DIRECTORY;
    int faults = kept_kills(place, storage, seed + (uint64_t)number, left < KILLS_A_DIRECTORY ? left : KILLS_A_DIRECTORY, &effects);
    if (faults != 0) {
      printf("  %d faults in %s\n", faults, place);
      return 1;
    }
  }
  printf("  %d kills: %lu effects, each once and in order\n", count, effects);
  return effects == 0;
}

/* Row 3: recovery itself is killed, again and again, before it is let through. */
static int recovery_kills(const char *directory, uint32_t storage, int count) {
  renew(directory);
  for (int round = 0; round < count; round++) {
    if (kill_one(directory, storage, 30 * MILLISECOND)) return 1;
    for (int inner = 0; inner < 5; inner++)
      if (kill_one(directory, storage, 4 * MILLISECOND)) return 1;
    if (verify(directory, storage)) return 1;
  }
  return 0;
}

/* Row 23: the next owner comes at once, writes over the tail, and gives late writes time to land. */
static int late_writes(const char *directory, uint32_t storage, int count) {
  renew(directory);
  for (int round = 0; round < count; round++) {
    int ear;
    if (kill_one(directory, storage, 30 * MILLISECOND)) return 1;
    pid_t next = start_victim(directory, storage, 12, &ear);
    if (end_victim(next, ear) != 0) return 1;
    sleep_ns(20 * MILLISECOND);
    if (witness_check(&witness, directory) != 0) return 1;
    if (round % KILLS_A_DIRECTORY == KILLS_A_DIRECTORY - 1) renew(directory);
  }
  return 0;
}

/* Row 22: exactly one of two that open at the same time. */
static int races(const char *directory, uint32_t storage, int count) {
  renew(directory);
  for (int round = 0; round < count; round++) {
    int gate[2], result[2], won = 0, locked = 0;
    if (pipe(gate) != 0 || pipe(result) != 0) return 1;
    for (int index = 0; index < 2; index++) {
      if (fork() != 0) continue;
      close(gate[1]);
      ltp_core_options options = crash_options(directory, storage);
      options.lock_wait_ns = 0;
      ltp_core *core = NULL;
      char byte;
      (void)!read(gate[0], &byte, 1);
      int32_t status = ltp_core_open(&options, &core, NULL);
      (void)!write(result[1], &status, sizeof status);
      /* The winner keeps it until both have answered: then the gate's other end is closed. */
      (void)!read(gate[0], &byte, 1);
      if (core != NULL) status = ltp_core_close(core, 0, NULL);
      _exit(0);
    }
    close(gate[0]);
    (void)!write(gate[1], "go", 2);
    for (int index = 0; index < 2; index++) {
      int32_t status = -1;
      if (read(result[0], &status, sizeof status) != (ssize_t)sizeof status) return 1;
      won += status == LTP_OK;
      locked += status == LTP_ERROR_TRACE_LOCKED;
    }
    struct trace_reader reader = {0};
    if (trace_read(&reader, directory) != 0) printf("  a reader: %s\n", reader.fault);
    close(gate[1]), close(result[0]), close(result[1]);
    while (wait(NULL) > 0) {}
    if (won == 1 && locked == 1 && reader.fault[0] == 0) continue;
    printf("  at pair %d: %d opened it, %d were told that it is locked\n", round, won, locked);
    return 1;
  }
  return 0;
}

struct load {
  ltp_lane *lane;
  uint64_t executed, denied;
};

static void *decide_until_denied(void *pointer) {
  struct load *load = pointer;
  ltp_route_request asked;
  ltp_frame_init(&asked, sizeof asked, LTP_FRAME_ROUTE_REQUEST, 0);
  asked.session_id = 1;
  asked.action_class = 1;
  while (load->denied < 10) {
    asked.frame_id++;
    ltp_verdict verdict = ltp_admit(load->lane, &asked, sizeof asked);
    if (verdict.verdict == LTP_VERDICT_EXECUTE) load->executed++;
    else load->denied++;
  }
  ltp_lane_close(load->lane);
  return NULL;
}

/* Row 32: every EXECUTE of a core that is closed under load is in the trace. */
static int shutdowns(const char *directory, uint32_t storage, int count) {
  for (int round = 0; round < count; round++) {
    renew(directory);
    ltp_core_options options = crash_options(directory, storage);
    options.segment_bytes = 16 << 20;
    options.backpressure_wait_ns = 30000 * MILLISECOND;
    ltp_core *core = NULL;
    ltp_error error;
    if (ltp_core_open(&options, &core, &error) != LTP_OK) return 1;
    struct load loads[2] = {{0}};
    pthread_t threads[2];
    for (int index = 0; index < 2; index++) {
      if (ltp_lane_open(core, &loads[index].lane, NULL) != LTP_OK) return 1;
      pthread_create(&threads[index], NULL, decide_until_denied, &loads[index]);
    }
    sleep_ns(random_below(30 * MILLISECOND));
    int32_t status = ltp_core_close(core, 30000 * MILLISECOND, &error);
    for (int index = 0; index < 2; index++) pthread_join(threads[index], NULL);
    struct trace_reader reader = {0};
    int whole = trace_read(&reader, directory) == 0;
    uint64_t executed = loads[0].executed + loads[1].executed;
    if (status == LTP_OK && whole && reader.decisions == executed) continue;
    printf(
      "  closing: %s; reading: %s; %llu executed, %llu in the trace\n", error.message, reader.fault,
      (unsigned long long)executed, (unsigned long long)reader.decisions);
    return 1;
  }
  return 0;
}

/* A victim, or one that keeps intents. */
typedef int victim(const char *directory, uint32_t storage, uint64_t session, int descriptor, int rounds);

/* Rows 6 to 9: decides until the trace takes no more, which must be said and must deny; keeps what was
 * acknowledged in a file. The directory's room is scripts/crash's business. */
static int until_full(victim *run, const char *directory, uint32_t storage, const char *kept) {
  int file = open(kept, O_CREAT | O_TRUNC | O_WRONLY, 0600);
  witness_patience_ns = 1000 * MILLISECOND;
  int status = run(directory, storage, 77, file, ROUNDS_MAX);
  close(file);
  if (status != 3) printf("  it ended with %d, not by a failure of the trace\n", status);
  return status != 3;
}

/* Whether the directory holds what a file says was acknowledged. A file that says nothing fails, unless an early
 * death is to be expected. */
static int check_kept(const char *directory, uint32_t storage, const char *kept, int may_be_empty) {
  int file = open(kept, O_RDONLY);
  witness_listen(&witness, file);
  close(file);
  if (witness.count == 0 && !may_be_empty) printf("  nothing was acknowledged\n");
  return (witness.count == 0 && !may_be_empty) || verify(directory, storage);
}

/* The same of intents. */
static int check_intents(const char *directory, uint32_t storage, const char *kept, int may_be_empty) {
  int file = open(kept, O_RDONLY);
  int result = kept_witness_check(directory, storage, file, may_be_empty);
  close(file);
  return result;
}

/* Row 4: the file system stops at once, without writing its journal out. */
static int shut_down(const char *mounted_at) {
  const unsigned long ext4_shutdown = _IOR('X', 125, uint32_t);
  uint32_t without_journal = 2;
  int directory = open(mounted_at, O_RDONLY | O_DIRECTORY);
  int result = ioctl(directory, ext4_shutdown, &without_journal);
  if (result != 0) perror("crash: shutdown");
  close(directory);
  return result != 0;
}

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "usage: crash PART DIRECTORY io_uring|pwritev [NUMBER | FILE]\n");
    return 2;
  }
  const char *part = arguments[1], *directory = arguments[2], *last = count > 4 ? arguments[4] : "1";
  uint32_t storage =
    strcmp(arguments[3], "pwritev") == 0 ? LTP_STORAGE_PWRITEV : LTP_STORAGE_IO_URING;
  random_state = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
  int number = atoi(last);
  if (strcmp(part, "kills") == 0) return kills(directory, storage, number);
  if (strcmp(part, "kept") == 0) return kept(directory, storage, number);
  if (strcmp(part, "recovery") == 0) return recovery_kills(directory, storage, number);
  if (strcmp(part, "late") == 0) return late_writes(directory, storage, number);
  if (strcmp(part, "races") == 0) return races(directory, storage, number);
  if (strcmp(part, "shutdowns") == 0) return shutdowns(directory, storage, number);
  if (strcmp(part, "full") == 0) return until_full(victim_run, directory, storage, last);
  if (strcmp(part, "kept-full") == 0) return until_full(kept_victim_run, directory, storage, last);
  if (strcmp(part, "check") == 0) return check_kept(directory, storage, last, 0);
  if (strcmp(part, "check-early") == 0) return check_kept(directory, storage, last, 1);
  if (strcmp(part, "kept-check") == 0) return check_intents(directory, storage, last, 0);
  if (strcmp(part, "kept-check-early") == 0) return check_intents(directory, storage, last, 1);
  if (strcmp(part, "shutdown") == 0) return shut_down(directory);
  /* A run that ends by itself; acknowledgements on standard output. Its first session is its process. */
  if (strcmp(part, "victim") == 0)
    return victim_run(directory, storage, (uint64_t)getpid() * 2, STDOUT_FILENO, number);
  if (strcmp(part, "kept-victim") == 0)
    return kept_victim_run(directory, storage, (uint64_t)getpid() * 8, STDOUT_FILENO, number);
  fprintf(stderr, "crash: unknown part %s\n", part);
  return 2;
}
