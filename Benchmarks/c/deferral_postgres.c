/* SPDX-License-Identifier: Apache-2.0
 *
 * The same callers with a job queue in PostgreSQL: each has a connection of its own, and inserts one job a transaction, which is
 * durable when the answer comes. The table, its indexes and the statement are River's (riverqueue.com) made anew after its
 * documentation; it is not River itself. Where they differ, PostgreSQL is spared work: River's client takes a transaction of several
 * round trips, looks for conflicts of unique jobs, and notifies listeners.
 *
 *   deferral_postgres CONNECTION-STRING CALLERS SECONDS btree|all
 *
 * btree: without the two inverted (GIN) indexes over JSON that River's migrations make as well; all: with them.
 */
#include "deferral_measure.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char table[] =
  "DROP TABLE IF EXISTS river_job; DROP TYPE IF EXISTS river_job_state;"
  "CREATE TYPE river_job_state AS ENUM"
  " ('available', 'cancelled', 'completed', 'discarded', 'pending', 'retryable', 'running', 'scheduled');"
  "CREATE TABLE river_job ("
  " id bigserial PRIMARY KEY, state river_job_state NOT NULL DEFAULT 'available',"
  " attempt smallint NOT NULL DEFAULT 0, max_attempts smallint NOT NULL DEFAULT 25 CHECK (max_attempts > 0),"
  " attempted_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(), finalized_at timestamptz,"
  " scheduled_at timestamptz NOT NULL DEFAULT now(), priority smallint NOT NULL DEFAULT 1 CHECK (priority BETWEEN 1 AND 4),"
  " args jsonb NOT NULL, attempted_by text[], errors jsonb[], kind text NOT NULL CHECK (char_length(kind) BETWEEN 1 AND 127),"
  " metadata jsonb NOT NULL DEFAULT '{}', queue text NOT NULL DEFAULT 'default' CHECK (char_length(queue) BETWEEN 1 AND 127),"
  " tags varchar(255)[] NOT NULL DEFAULT '{}', unique_key bytea, unique_states bit(8),"
  " CHECK ((finalized_at IS NOT NULL) = (state IN ('cancelled', 'completed', 'discarded'))));"
  "CREATE INDEX ON river_job (kind);"
  "CREATE INDEX ON river_job (state, finalized_at) WHERE finalized_at IS NOT NULL;"
  "CREATE INDEX ON river_job (state, queue, priority, scheduled_at, id);"
  "CREATE UNIQUE INDEX ON river_job (unique_key) WHERE unique_key IS NOT NULL AND unique_states IS NOT NULL";
static const char inverted_indexes[] =
  "CREATE INDEX ON river_job USING gin (args); CREATE INDEX ON river_job USING gin (metadata)";
static const char insertion[] =
  "INSERT INTO river_job (args, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags) "
  "VALUES ($1::jsonb, 'order_create', 25, '{}', 1, 'default', now(), 'available', '{}') RETURNING id";

static void need(PGconn *connection, PGresult *result, ExecStatusType wanted, const char *what) {
  if (PQresultStatus(result) != wanted) fail("PostgreSQL: %s: %s", what, PQerrorMessage(connection));
}

static PGconn *connect_to(const char *address) {
  PGconn *connection = PQconnectdb(address);
  if (PQstatus(connection) != CONNECTION_OK) fail("PostgreSQL: %s", PQerrorMessage(connection));
  return connection;
}

static void run(PGconn *connection, const char *statements) {
  PGresult *result = PQexec(connection, statements);
  need(connection, result, PGRES_COMMAND_OK, "preparing");
  PQclear(result);
}

static uint64_t number_of(PGconn *connection, const char *query) {
  PGresult *result = PQexec(connection, query);
  need(connection, result, PGRES_TUPLES_OK, query);
  uint64_t number = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
  PQclear(result);
  return number;
}

static void insert_once(void *context, int caller, uint64_t number) {
  PGconn *connection = ((PGconn **)context)[caller];
  char payload[PAYLOAD_BYTES + 1];
  payload_write(payload, (uint64_t)caller << 32 | number);
  payload[PAYLOAD_BYTES] = 0;
  const char *values[] = {payload};
  PGresult *result = PQexecPrepared(connection, "insertion", 1, values, NULL, NULL, 0);
  need(connection, result, PGRES_TUPLES_OK, "an insertion");
  PQclear(result);
}

int main(int count, char **arguments) {
  static PGconn *connections[CALLERS_MAX];
  if (count != 5) {
    fprintf(stderr, "usage: deferral_postgres CONNECTION-STRING CALLERS SECONDS btree|all\n");
    return 2;
  }
  int callers = (int)number_from(arguments[2], "CALLERS"), has_all = strcmp(arguments[4], "all") == 0;
  if (callers > CALLERS_MAX) fail("at most %d callers", CALLERS_MAX);
  PGconn *watcher = connect_to(arguments[1]);
  run(watcher, table);
  if (has_all) run(watcher, inverted_indexes);
  if (number_of(watcher, "SELECT (current_setting('synchronous_commit') = 'on' AND current_setting('fsync') = 'on')::int") != 1)
    fail("PostgreSQL does not wait for the disk");
  for (int index = 0; index < callers; index++) {
    connections[index] = connect_to(arguments[1]);
    PGresult *result = PQprepare(connections[index], "insertion", insertion, 0, NULL);
    need(connections[index], result, PGRES_COMMAND_OK, "the statement");
    PQclear(result);
  }
  crowd crowd = {.callers = callers, .seconds = (double)number_from(arguments[3], "SECONDS"), .once = insert_once, .context = connections};
  crowd_result result = crowd_run(&crowd);
  for (int index = 0; index < callers; index++) PQfinish(connections[index]);
  uint64_t rows = number_of(watcher, "SELECT count(*) FROM river_job WHERE state = 'available'");
  if (rows != result.jobs)
    fail("PostgreSQL has %llu jobs, and answered %llu", (unsigned long long)rows, (unsigned long long)result.jobs);
  figure(has_all ? "postgres_all_per_second" : "postgres_per_second", (double)result.jobs / result.seconds);
  figure(has_all ? "postgres_all_us_median" : "postgres_us_median", result.waits.median);
  figure(has_all ? "postgres_all_us_p99" : "postgres_us_p99", result.waits.p99);
  PQfinish(watcher);
  return 0;
}
