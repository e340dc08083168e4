/* SPDX-License-Identifier: Apache-2.0
 * The order service: orders come over a Unix socket, a thread a client, and go into PostgreSQL. With LTP an observer watches the database by a write of
 * its own, every answer goes through the core, and workers replay what had to wait. Without, each order is written as it comes. */
#define _GNU_SOURCE
#include "flicker.h"

#include "ltp.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LANES 24 /* for clients' threads, by turns */
#define ORDER_CREATE 25
#define PRIORITY 200

static const struct settings *settings;
static ltp_core *core;
static struct { pthread_mutex_t mutex; ltp_lane *lane; struct connection database; } lanes[LANES];
static atomic_int is_ending;
static _Atomic uint32_t state;

static void be_in(uint32_t next, uint8_t reason, uint64_t latency_ms, const char *text) {
  if (atomic_exchange(&state, next) == next) return;
  ltp_transition change = {.struct_size = sizeof change, .to = (uint8_t)next, .reason = reason, .evidence_count = 1};
  change.evidence[0].signal = LTP_SIGNAL_DB_WRITE_LATENCY;
  change.evidence[0].value = (int64_t)latency_ms;
  change.evidence[0].threshold = (int64_t)(settings->timeout_ns / MILLISECOND);
  snprintf(change.text, sizeof change.text, "%s", text);
  if (ltp_orientation_publish(core, &change, NULL) != LTP_OK) exit(10);
}

static void is_unstable(uint64_t latency_ns) {
  char text[80];
  snprintf(text, sizeof text, "DB Write Latency > %lums", (unsigned long)(settings->timeout_ns / MILLISECOND));
  be_in(LTP_STATE_UNSTABLE, LTP_SIGNAL_DB_WRITE_LATENCY, latency_ns / MILLISECOND, text);
}

/* Writes a row of its own now and then; what it takes says how the database is. */
static void *observe(void *unused) {
  struct connection database = {0};
  while (!is_ending) {
    uint64_t begun = monotonic_ns();
    int is_well = database_run(
      &database, settings->database, "INSERT INTO probe VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = probe.n + 1",
      settings->timeout_ns);
    uint64_t took = monotonic_ns() - begun;
    ltp_deferral_status kept = {0};
    ltp_deferral_status_get(core, &kept, sizeof kept);
    if (!is_well || took > settings->timeout_ns) {
      is_unstable(took);
    } else if (state == LTP_STATE_UNSTABLE || state == LTP_STATE_UNKNOWN) {
      be_in(LTP_STATE_RECOVERING, LTP_SIGNAL_METRICS_STABILIZED, took / MILLISECOND, "DB leader elected, latency normal");
    } else if (state == LTP_STATE_RECOVERING && kept.pending == 0) {
      be_in(LTP_STATE_HEALTHY, LTP_SIGNAL_RECOVERY_COMPLETE, took / MILLISECOND, "every deferred order is processed");
    }
    pause_ns(20 * MILLISECOND);
  }
  if (database.handle != NULL) PQfinish(database.handle);
  return unused;
}

/* The order and its key are one transaction: what is there is not written again. */
static int write_order(struct connection *database, const struct order *order) {
  char statement[300];
  snprintf(
    statement, sizeof statement, "INSERT INTO orders (client, number, amount) VALUES (%lu, %lu, %lu)%s",
    (unsigned long)order->client, (unsigned long)order->number, (unsigned long)order->amount,
    settings->with_ltp ? " ON CONFLICT (client, number) DO NOTHING" : "");
  return database_run(database, settings->database, statement, settings->timeout_ns);
}

static void *replay(void *unused) {
  ltp_lane *lane;
  struct connection database = {0};
  if (ltp_lane_open(core, &lane, NULL) != LTP_OK) exit(11);
  while (!is_ending) {
    struct order order;
    ltp_handout handout;
    int32_t status = ltp_intent_begin(lane, &handout, &order, sizeof order);
    if (status != LTP_OK) {
      if (status != LTP_ERROR_NOTHING_DUE && status != LTP_ERROR_BACKPRESSURE) exit(12);
      pause_ns(2 * MILLISECOND);
      continue;
    }
    int is_written = write_order(&database, &order);
    do {
      status = is_written ? ltp_intent_commit(core, handout.ticket, handout.attempt)
                          : ltp_intent_release(core, handout.ticket, handout.attempt, 200);
      if (status == LTP_ERROR_BACKPRESSURE) pause_ns(MILLISECOND);
    } while (status == LTP_ERROR_BACKPRESSURE);
  }
  if (database.handle != NULL) PQfinish(database.handle);
  ltp_lane_close(lane);
  return unused;
}

/* The gateway vouches for its clients: it shakes hands for each. */
static void greet(ltp_lane *lane, uint64_t client, ltp_hello *life) {
  ltp_hello hello;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  hello.session_id = client, hello.client_nonce = monotonic_ns(), hello.version_max = LTP_PROTOCOL_VERSION;
  memset(life, 0, sizeof *life);
  ltp_hello_answer(lane, &hello, sizeof hello, life);
}

static struct reply confirmed(void) { return (struct reply){.answer = ANSWER_CONFIRMED, .text = "Order Confirmed"}; }

static struct reply decide(ltp_lane *lane, struct connection *database, const struct order *order, ltp_hello *life) {
  for (int round = 0; round < 200; round++) {
    ltp_route_request asked;
    ltp_frame_init(&asked, sizeof asked, LTP_FRAME_ROUTE_REQUEST, 0);
    asked.session_id = order->client, asked.frame_id = order->number;
    asked.action_class = ORDER_CREATE, asked.priority = PRIORITY;
    asked.continuity_token = life->continuity_token, asked.intent_epoch = life->continuity_epoch;
    asked.incarnation = life->incarnation;
    ltp_keep what = {.struct_size = sizeof what, .payload = order, .payload_bytes = sizeof *order, .attempts_max = 10000};
    ltp_verdict verdict;
    ltp_kept kept;
    if (ltp_admit_keeping(lane, &asked, sizeof asked, &what, &verdict, &kept) != LTP_OK) break;
    if (verdict.verdict == LTP_VERDICT_EXECUTE) {
      uint64_t begun = monotonic_ns();
      if (write_order(database, order)) return confirmed();
      /* It may have happened, or happen yet: asked again, it is kept, and made once. */
      is_unstable(monotonic_ns() - begun);
    } else if (verdict.verdict == LTP_VERDICT_DEFER) {
      if (ltp_kept_wait(core, kept.sequence, 10 * SECOND) != LTP_OK) break;
      struct reply reply = {.answer = ANSWER_PENDING, .ticket = kept.ticket};
      snprintf(reply.text, sizeof reply.text, "Order Received - Pending Confirmation");
      return reply;
    } else if (verdict.reason == LTP_REASON_ALREADY_REPLAYED) {
      return confirmed();
    } else if (verdict.reason == LTP_REASON_REHANDSHAKE_REQUIRED || verdict.reason == LTP_REASON_STALE_INTENT) {
      greet(lane, order->client, life);
    } else {
      pause_ns((verdict.retry_after_ms < 20 ? verdict.retry_after_ms + 1 : 20) * MILLISECOND);
    }
  }
  return (struct reply){.answer = ANSWER_ERROR, .text = "500 Internal Server Error"};
}

static void *attend(void *context) {
  int socket = (int)(intptr_t)context;
  struct order order;
  ltp_hello life = {0};
  while (recv(socket, &order, sizeof order, MSG_WAITALL) == sizeof order) {
    struct reply reply = {.answer = ANSWER_STATE};
    if (order.number != 0) {
      int place = (int)(order.client % LANES);
      pthread_mutex_lock(&lanes[place].mutex);
      if (settings->with_ltp) reply = decide(lanes[place].lane, &lanes[place].database, &order, &life);
      else if (write_order(&lanes[place].database, &order)) reply = confirmed();
      else reply = (struct reply){.answer = ANSWER_ERROR, .text = "500 Internal Server Error"};
      pthread_mutex_unlock(&lanes[place].mutex);
    }
    reply.state = state;
    if (send(socket, &reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply) break;
  }
  close(socket);
  return NULL;
}

static void open_core(void) {
  ltp_core_options options;
  ltp_core_options_init(&options, sizeof options);
  ltp_deferral_options deferral = {.struct_size = sizeof deferral};
  options.trace_directory = settings->trace, options.deferral = &deferral, options.lanes_max = 32;
  ltp_error error;
  if (ltp_core_open(&options, &core, &error) != LTP_OK) {
    fprintf(stderr, "database-flicker: the core cannot be opened: %s\n", error.message);
    exit(13);
  }
  for (int place = 0; place < LANES; place++)
    if (ltp_lane_open(core, &lanes[place].lane, &error) != LTP_OK) exit(14);
}

static void *accept_all(void *context) {
  int listening = (int)(intptr_t)context;
  for (int client; (client = accept(listening, NULL, NULL)) >= 0;) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, attend, (void *)(intptr_t)client) != 0) exit(15);
    pthread_detach(thread);
  }
  return NULL;
}

int serve(const struct settings *given) {
  settings = given;
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ending, NULL);
  for (int place = 0; place < LANES; place++) pthread_mutex_init(&lanes[place].mutex, NULL);
  pthread_t observer, workers[2], acceptor;
  if (settings->with_ltp) {
    open_core();
    pthread_create(&observer, NULL, observe, NULL);
    for (int index = 0; index < 2; index++) pthread_create(&workers[index], NULL, replay, NULL);
  }
  int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", settings->socket);
  unlink(settings->socket);
  if (bind(listening, (struct sockaddr *)&address, sizeof address) != 0 || listen(listening, 256) != 0) return 16;
  pthread_create(&acceptor, NULL, accept_all, (void *)(intptr_t)listening);
  int signal;
  sigwait(&ending, &signal);
  if (!settings->with_ltp) return 0;
  /* In order: what is kept is carried out first. */
  ltp_deferral_status kept = {.pending = 1};
  for (int round = 0; round < 6000 && (kept.pending > 0 || state != LTP_STATE_HEALTHY); round++) {
    pause_ns(10 * MILLISECOND);
    ltp_deferral_status_get(core, &kept, sizeof kept);
  }
  is_ending = 1;
  shutdown(listening, SHUT_RDWR);
  pthread_join(observer, NULL);
  for (int index = 0; index < 2; index++) pthread_join(workers[index], NULL);
  for (int place = 0; place < LANES; place++) {
    pthread_mutex_lock(&lanes[place].mutex);
    ltp_lane_close(lanes[place].lane);
  }
  ltp_error error;
  if (ltp_core_close(core, 10 * SECOND, &error) != LTP_OK) {
    fprintf(stderr, "database-flicker: close: %s\n", error.message);
    return 17;
  }
  return kept.pending == 0 ? 0 : 18;
}
