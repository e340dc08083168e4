/* SPDX-License-Identifier: Apache-2.0
 * Kept intents under kills: a service that keeps, replays and carries out until it is killed, again and again on one directory. Its
 * database is a file of effects, one write each, looked at before each effect: what a host's transaction does. At last a life that is
 * let through, and then every intent that was acknowledged must have exactly one effect, and each session's effects be in order. */
#define _GNU_SOURCE
#include "kept.h"

#include "witness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS 12
#define FRAMES_MAX 200000 /* of a session */
#define MILLISECOND ((uint64_t)1000000)
#define ORDER_CREATE 25

/* What is written to the file of effects, and told for an acknowledgement. */
struct deed {
  uint64_t session, frame;
};

struct service {
  ltp_core *core;
  int effects, ear;
  int is_last;
  uint64_t seed;
  _Atomic uint64_t frames[SESSIONS + 1];
  pthread_mutex_t database;
};

static unsigned char done[SESSIONS + 1][FRAMES_MAX];

static void pause_ns(uint64_t nanoseconds) {
  struct timespec duration = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)};
  nanosleep(&duration, NULL);
}

static uint64_t draw(uint64_t *state, uint64_t limit) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (*state >> 33) % limit;
}

/* One transaction: the effect, unless it is there. */
static void carry_out(struct service *service, uint64_t session, uint64_t frame) {
  pthread_mutex_lock(&service->database);
  if (!done[session][frame]) {
    struct deed deed = {session, frame};
    if (write(service->effects, &deed, sizeof deed) != sizeof deed) _exit(4);
    done[session][frame] = 1;
  }
  pthread_mutex_unlock(&service->database);
}

static void acknowledge(struct service *service, uint64_t session, uint64_t frame) {
  struct deed deed = {session, frame};
  if (write(service->ear, &deed, sizeof deed) != sizeof deed) _exit(4);
}

static ltp_verdict ask(struct service *service, ltp_lane *lane, uint64_t session, uint64_t frame, ltp_kept *kept) {
  (void)service;
  ltp_route_request asked;
  ltp_frame_init(&asked, sizeof asked, LTP_FRAME_ROUTE_REQUEST, 0);
  asked.session_id = session, asked.frame_id = frame, asked.action_class = ORDER_CREATE, asked.priority = 200;
  unsigned char payload[700];
  size_t count = 1 + (session * 37 + frame * 11) % sizeof payload;
  for (size_t index = 0; index < count; index++) payload[index] = (unsigned char)(session + frame + index);
  ltp_keep what = {.struct_size = sizeof what, .payload = payload, .payload_bytes = count, .attempts_max = 60000};
  ltp_verdict verdict;
  if (ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, kept) != LTP_OK) _exit(5);
  return verdict;
}

static void *take_in(void *context) {
  struct service *service = context;
  uint64_t random = service->seed;
  ltp_lane *lane;
  if (ltp_lane_open(service->core, &lane, NULL) != LTP_OK) _exit(6);
  for (;;) {
    uint64_t session = 1 + draw(&random, SESSIONS);
    uint64_t frame = atomic_load(&service->frames[session]) + 1;
    if (frame >= FRAMES_MAX) _exit(7);
    /* A user who refreshes. */
    int is_again = draw(&random, 5) == 0 && frame > 1;
    if (is_again) frame--;
    ltp_kept kept;
    ltp_verdict verdict = ask(service, lane, session, frame, &kept);
    if (!is_again && verdict.verdict != LTP_VERDICT_DENY) atomic_store(&service->frames[session], frame);
    if (verdict.verdict == LTP_VERDICT_DEFER) {
      if (ltp_kept_wait(service->core, kept.sequence, 10000 * MILLISECOND) != LTP_OK) continue;
      acknowledge(service, session, frame);
    } else if (verdict.verdict == LTP_VERDICT_EXECUTE) {
      carry_out(service, session, frame);
      acknowledge(service, session, frame);
    } else if (verdict.reason == LTP_REASON_KEY_REUSED || verdict.reason == LTP_REASON_INTENT_ENDED) {
      _exit(8);
    } else if (verdict.reason != LTP_REASON_ALREADY_REPLAYED) {
      pause_ns(MILLISECOND / 2);
    }
  }
  return NULL;
}

static void *replay(void *context) {
  struct service *service = context;
  ltp_lane *lane;
  if (ltp_lane_open(service->core, &lane, NULL) != LTP_OK) _exit(6);
  unsigned char payload[1024];
  for (;;) {
    ltp_handout handout;
    int32_t status = ltp_intent_begin(lane, &handout, payload, sizeof payload);
    if (status != LTP_OK) {
      if (status != LTP_ERROR_NOTHING_DUE && status != LTP_ERROR_BACKPRESSURE) _exit(9);
      pause_ns(MILLISECOND / 5);
      continue;
    }
    uint64_t session = handout.request.session_id, frame = handout.request.frame_id;
    for (uint64_t index = 0; index < handout.payload_bytes; index++)
      if (payload[index] != (unsigned char)(session + frame + index)) _exit(10);
    /* Some wait long, so that segments behind them are given back. */
    if (frame % 40 == 0 && handout.attempt == 1) {
      if (ltp_intent_release(service->core, handout.ticket, handout.attempt, 300) != LTP_OK) pause_ns(MILLISECOND);
      continue;
    }
    carry_out(service, session, frame);
    while ((status = ltp_intent_commit(service->core, handout.ticket, handout.attempt)) == LTP_ERROR_BACKPRESSURE)
      pause_ns(MILLISECOND / 5);
    if (status != LTP_OK && status != LTP_ERROR_NOT_YOURS) _exit(11);
  }
  return NULL;
}

static void be_in(struct service *service, uint8_t state) {
  ltp_transition change = {.struct_size = sizeof change, .to = state, .reason = LTP_SIGNAL_OPERATOR};
  if (ltp_orientation_publish(service->core, &change, NULL) != LTP_OK) _exit(12);
}

static void read_effects(int file, struct service *service) {
  struct deed deed;
  while (read(file, &deed, sizeof deed) == sizeof deed) {
    done[deed.session][deed.frame] = 1;
    if (atomic_load(&service->frames[deed.session]) < deed.frame) atomic_store(&service->frames[deed.session], deed.frame);
  }
}

/* A life, until it is killed; the last one ends by itself once nothing is pending. `frames`: those that were used. */
static int live(const char *directory, uint32_t storage, int ear, int is_last, uint64_t seed, const uint64_t *frames) {
  static struct service service = {.database = PTHREAD_MUTEX_INITIALIZER};
  char path[600];
  snprintf(path, sizeof path, "%s/effects", directory);
  service.effects = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
  service.ear = ear, service.is_last = is_last, service.seed = seed;
  read_effects(service.effects, &service);
  for (int session = 1; session <= SESSIONS; session++)
    if (service.frames[session] < frames[session]) service.frames[session] = frames[session];
  ltp_core_options options = crash_options(directory, storage);
  ltp_deferral_options deferral = {.struct_size = sizeof deferral, .capacity = 20000, .per_session_max = 4000,
                                   .segment_bytes = 512 << 10, .block_bytes = 64 << 10, .remember_ms = 150};
  options.deferral = &deferral;
  ltp_error error;
  int32_t opened = ltp_core_open(&options, &service.core, &error);
  if (opened != LTP_OK) {
    printf("  open: %s\n", error.message);
    return 20;
  }
  pthread_t threads[4];
  ltp_lane *lane = NULL;
  be_in(&service, LTP_STATE_UNSTABLE);
  if (!is_last) {
    pthread_create(&threads[0], NULL, take_in, &service);
    service.seed += 77;
    pthread_create(&threads[2], NULL, replay, &service);
    pthread_create(&threads[3], NULL, replay, &service);
    for (;;) {
      pause_ns(draw(&seed, 12) * MILLISECOND);
      be_in(&service, draw(&seed, 2) ? LTP_STATE_UNSTABLE : LTP_STATE_HEALTHY);
    }
  }
  be_in(&service, LTP_STATE_HEALTHY);
  if (ltp_lane_open(service.core, &lane, NULL) != LTP_OK) return 21;
  unsigned char payload[1024];
  ltp_deferral_status status = {0};
  for (int round = 0; round < 20000; round++) {
    ltp_handout handout;
    while (ltp_intent_begin(lane, &handout, payload, sizeof payload) == LTP_OK) {
      carry_out(&service, handout.request.session_id, handout.request.frame_id);
      while (ltp_intent_commit(service.core, handout.ticket, handout.attempt) == LTP_ERROR_BACKPRESSURE) pause_ns(MILLISECOND);
    }
    if (ltp_deferral_status_get(service.core, &status, sizeof status) != LTP_OK) return 22;
    if (status.pending == 0) break;
    pause_ns(MILLISECOND);
  }
  if (status.pending != 0) return 23;
  if (ltp_lane_close(lane) != LTP_OK) return 24;
  return ltp_core_close(service.core, 10000 * MILLISECOND, &error) == LTP_OK ? 0 : 25;
}

/* All that was acknowledged in one directory, and the frames that were used. */
static unsigned char told[SESSIONS + 1][FRAMES_MAX];
static uint64_t used[SESSIONS + 1];

static void listen_to(int ear) {
  struct deed deed;
  while (read(ear, &deed, sizeof deed) == sizeof deed) {
    told[deed.session][deed.frame] = 1;
    if (used[deed.session] < deed.frame) used[deed.session] = deed.frame;
  }
}

static int check_effects(const char *directory, uint64_t *effects) {
  char path[600];
  snprintf(path, sizeof path, "%s/effects", directory);
  int file = open(path, O_RDONLY), faults = 0;
  uint64_t last[SESSIONS + 1] = {0};
  struct deed deed;
  while (read(file, &deed, sizeof deed) == sizeof deed) {
    *effects += 1;
    if (deed.frame <= last[deed.session]) {
      printf("  session %lu: frame %lu after %lu: twice, or out of order\n", deed.session, deed.frame, last[deed.session]);
      faults++;
    }
    last[deed.session] = deed.frame;
    if (told[deed.session][deed.frame]) told[deed.session][deed.frame] = 2;
  }
  close(file);
  for (uint64_t session = 1; session <= SESSIONS; session++)
    for (uint64_t frame = 1; frame < FRAMES_MAX; frame++)
      if (told[session][frame] == 1) {
        printf("  session %lu: frame %lu was acknowledged, and has no effect\n", session, frame);
        faults++;
      }
  return faults;
}

int kept_kills(const char *directory, uint32_t storage, uint64_t seed, int count, uint64_t *effects) {
  memset(told, 0, sizeof told);
  memset(used, 0, sizeof used);
  for (int round = 0; round <= count; round++) {
    int ends[2], is_last = round == count;
    if (pipe2(ends, O_CLOEXEC) != 0) return 1;
    fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
    fflush(stdout);
    /* Frames that somebody may have used and was not told of are not used again for something else. */
    for (int session = 1; session <= SESSIONS; session++) used[session] += 10;
    pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      memset(done, 0, sizeof done);
      _exit(live(directory, storage, ends[1], is_last, seed + (uint64_t)round * 1000, used));
    }
    close(ends[1]);
    if (!is_last) {
      pause_ns((4 + draw(&seed, 70)) * MILLISECOND);
      kill(child, SIGKILL);
    }
    int status = 0;
    listen_to(ends[0]);
    close(ends[0]);
    waitpid(child, &status, 0);
    if (is_last ? !WIFEXITED(status) || WEXITSTATUS(status) != 0 : !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
      printf("  life %d ended by itself: status %d, signal %d\n", round, WEXITSTATUS(status), WTERMSIG(status));
      return 1;
    }
  }
  return check_effects(directory, effects);
}
