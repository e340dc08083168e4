/* SPDX-License-Identifier: Apache-2.0
 * The database flicker: an order service whose PostgreSQL takes no writes for a while, in the middle of the load. scripts/scenario-database-flicker
 * says how to run it; it starts the database and reads the trace. This program is the course of one round: the service as a child, the clients, the
 * outage, the kills, and what the table and the clients say afterwards. Exit status 1: a promise was missed. */
#define _GNU_SOURCE
#include "flicker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATE_HEALTHY 1
#define STATE_UNSTABLE 4

struct round {
  struct settings settings;
  const char *outage; /* "stop" or "readonly" */
  const char *postmaster; /* its process id */
  int orders, kills;
  uint64_t outage_ns, seed;
  pid_t service;
  volatile int is_back; /* the database takes writes again */
};

static void start_service(struct round *round) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) _exit(serve(&round->settings));
  round->service = child;
}

static int wait_for_state(const struct round *round, uint32_t state, uint64_t within_ns) {
  for (uint64_t until = monotonic_ns() + within_ns; monotonic_ns() < until; pause_ns(2 * MILLISECOND))
    if (service_state(round->settings.socket) == state) return 1;
  printf("  the service did not come to state %u in %lu s\n", state, (unsigned long)(within_ns / SECOND));
  return 0;
}

static int shell(const char *form, const char *word) {
  char command[600];
  snprintf(command, sizeof command, form, word, word);
  return system(command);
}

static void take_no_writes(const struct round *round, int is_begin) {
  if (strcmp(round->outage, "stop") == 0) {
    /* Every process of the server, and those that it starts meanwhile: none, because it is stopped first. */
    if (is_begin) shell("kill -STOP %s; pkill -STOP -P %s", round->postmaster);
    else shell("pkill -CONT -P %s; kill -CONT %s", round->postmaster);
    return;
  }
  struct connection database = {0};
  if (!database_run(
        &database, round->settings.database,
        is_begin ? "ALTER SYSTEM SET default_transaction_read_only = on" : "ALTER SYSTEM SET default_transaction_read_only = off",
        5 * SECOND) ||
      !database_run(&database, round->settings.database, "SELECT pg_reload_conf()", 5 * SECOND))
    printf("  the database does not change its mode\n");
  PQfinish(database.handle);
}

static long number(const struct round *round, const char *query) {
  PGconn *database = PQconnectdb(round->settings.database);
  PGresult *result = PQexec(database, query);
  long value = PQresultStatus(result) == PGRES_TUPLES_OK ? atol(PQgetvalue(result, 0, 0)) : -1;
  if (value < 0) printf("  %s: %s", query, PQerrorMessage(database));
  PQclear(result);
  PQfinish(database);
  return value;
}

static int missed;
static void promise(const char *what, long is, long should_be) {
  int is_met = is == should_be;
  missed += !is_met;
  printf("  %-62s %6ld  %s\n", what, is, is_met ? "met" : "MISSED");
}

/* Kills the service at random instants and starts it again: half the times while orders come, half while they are replayed. */
static void *kill_now_and_then(void *context) {
  struct round *round = context;
  for (int number = 0; number < round->kills; number++) {
    round->seed = round->seed * 6364136223846793005u + 1442695040888963407u;
    int is_in_replay = number >= round->kills / 2;
    while (is_in_replay && !round->is_back) pause_ns(MILLISECOND);
    pause_ns((is_in_replay ? 20 + (round->seed >> 33) % 80 : 30 + (round->seed >> 33) % 350) * MILLISECOND);
    kill(round->service, SIGKILL);
    waitpid(round->service, NULL, 0);
    start_service(round);
  }
  return NULL;
}

static int run(struct round *round) {
  struct connection database = {0};
  if (!database_run(
        &database, round->settings.database,
        round->settings.with_ltp
          ? "DROP TABLE IF EXISTS orders, probe; CREATE TABLE probe (id int PRIMARY KEY, n bigint); CREATE TABLE orders (id "
            "bigserial, client bigint, number bigint, amount bigint, at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (client, number))"
          : "DROP TABLE IF EXISTS orders, probe; CREATE TABLE orders (id bigserial PRIMARY KEY, client bigint, number bigint, amount "
            "bigint, at timestamptz DEFAULT clock_timestamp())",
        10 * SECOND)) {
    printf("  the tables cannot be made\n");
    return 2;
  }
  PQfinish(database.handle);
  start_service(round);
  struct fleet *fleet = fleet_start(round->settings.socket, round->settings.with_ltp);
  if (round->settings.with_ltp && !wait_for_state(round, STATE_HEALTHY, 20 * SECOND)) return 2;
  int each = round->orders / CLIENTS;
  fleet_send(fleet, 5, SECOND / 2);
  struct tally before = fleet_tally(fleet);
  uint64_t outage = monotonic_ns();
  take_no_writes(round, 1);
  if (round->settings.with_ltp && !wait_for_state(round, STATE_UNSTABLE, 20 * SECOND)) return 2;
  pthread_t killer;
  if (round->kills > 0) pthread_create(&killer, NULL, kill_now_and_then, round);
  fleet_send(fleet, each, round->outage_ns / 2);
  struct tally window = fleet_tally(fleet);
  while (monotonic_ns() < outage + round->outage_ns) pause_ns(MILLISECOND);
  take_no_writes(round, 0);
  round->is_back = 1;
  uint64_t back = monotonic_ns();
  if (round->kills > 0) pthread_join(killer, NULL);
  if (round->settings.with_ltp && !wait_for_state(round, STATE_HEALTHY, 60 * SECOND)) return 2;
  uint64_t recovered = monotonic_ns();
  fleet_send(fleet, 5, SECOND / 2);
  struct tally all = fleet_tally(fleet);
  kill(round->service, SIGTERM);
  int status = 0;
  waitpid(round->service, &status, 0);
  pause_ns(300 * MILLISECOND);

  long rows = number(round, "SELECT count(*) FROM orders");
  long distinct = number(round, "SELECT count(*) FROM (SELECT DISTINCT client, number FROM orders) AS one");
  printf(
    "  outage %.1f s (%s), %lu orders in it, %lu refreshed by their users\n", (double)(back - outage) / 1e9, round->outage,
    (unsigned long)(window.sent - before.sent), (unsigned long)(window.refreshed - before.refreshed));
  if (!round->settings.with_ltp) {
    printf(
      "  %lu errors shown to users, %ld orders lost, %ld duplicates\n", (unsigned long)all.errors, (long)all.sent - distinct,
      rows - distinct);
    return 0;
  }
  printf(
    "  every order processed %.2f s after the database was back; the service was killed %d times, %lu connections made anew\n",
    (double)(recovered - back) / 1e9, round->kills, (unsigned long)all.reconnected);
  promise("orders in the window", (long)(window.sent - before.sent), round->orders);
  if (round->kills == 0) promise("DEFERRED: received, pending confirmation", (long)(window.pending - before.pending), round->orders);
  promise("errors that reached a client", (long)all.errors, 0);
  promise("orders in the table, of those that were sent", distinct, (long)all.sent);
  promise("duplicates in the table", rows - distinct, 0);
  promise(
    "orders of a client out of the order in which it sent them",
    number(
      round, "SELECT count(*) FROM (SELECT number, lag(number) OVER (PARTITION BY client ORDER BY id) AS before FROM orders) AS one "
             "WHERE before >= number"),
    0);
  promise("exit status of the service", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), 0);
  return missed > 0;
}

int main(int count, char **arguments) {
  if (count != 10) {
    fprintf(
      stderr, "usage: flicker with|without stop|readonly SOCKET TRACE CONNINFO POSTMASTER ORDERS OUTAGE_MS KILLS\n"
              "scripts/scenario-database-flicker starts all that it needs\n");
    return 2;
  }
  struct round round = {
    .settings = {.with_ltp = strcmp(arguments[1], "with") == 0, .socket = arguments[3], .trace = arguments[4], .database = arguments[5]},
    .outage = arguments[2], .postmaster = arguments[6], .orders = atoi(arguments[7]),
    .outage_ns = (uint64_t)atol(arguments[8]) * MILLISECOND, .kills = atoi(arguments[9]), .seed = monotonic_ns()};
  /* The seed's 5,000 ms in 45 s of outage, compressed as the outage is. */
  round.settings.timeout_ns = round.outage_ns / 9;
  if (round.kills > 0) printf("  seed %lu\n", (unsigned long)round.seed);
  return run(&round);
}
