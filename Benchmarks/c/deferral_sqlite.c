/* SPDX-License-Identifier: Apache-2.0
 *
 * The same with a job table in SQLite, in WAL mode with synchronous=FULL: each job is a transaction of its own, durable when COMMIT
 * returns. SQLite has one writer at a time, so callers take turns by a mutex: with SQLite's own waiting, which sleeps, they would be
 * slower.
 *
 *   deferral_sqlite FILE CALLERS SECONDS      the file is made; figures are named by the number of callers
 */
#include "deferral_measure.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>

static const char table[] =
  "CREATE TABLE river_job ("
  " id integer PRIMARY KEY, state text NOT NULL DEFAULT 'available', attempt integer NOT NULL DEFAULT 0,"
  " max_attempts integer NOT NULL DEFAULT 25, attempted_at text, created_at text NOT NULL DEFAULT CURRENT_TIMESTAMP, finalized_at text,"
  " scheduled_at text NOT NULL DEFAULT CURRENT_TIMESTAMP, priority integer NOT NULL DEFAULT 1, args text NOT NULL, attempted_by text,"
  " errors text, kind text NOT NULL, metadata text NOT NULL DEFAULT '{}', queue text NOT NULL DEFAULT 'default',"
  " tags text NOT NULL DEFAULT '[]', unique_key blob, unique_states integer);"
  "CREATE INDEX job_kind ON river_job (kind);"
  "CREATE INDEX job_finalized ON river_job (state, finalized_at) WHERE finalized_at IS NOT NULL;"
  "CREATE INDEX job_fetching ON river_job (state, queue, priority, scheduled_at, id);"
  "CREATE UNIQUE INDEX job_unique ON river_job (unique_key) WHERE unique_key IS NOT NULL AND unique_states IS NOT NULL";
static const char insertion[] =
  "INSERT INTO river_job (args, kind, max_attempts, metadata, priority, queue, state, tags) "
  "VALUES (?1, 'order_create', 25, '{}', 1, 'default', 'available', '[]')";

typedef struct writer {
  sqlite3 *database;
  sqlite3_stmt *insertion;
} writer;

static writer writers[CALLERS_MAX];
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void need(sqlite3 *database, int code, int wanted, const char *what) {
  if (code != wanted) fail("SQLite: %s: %s", what, sqlite3_errmsg(database));
}

static void run(sqlite3 *database, const char *statements) {
  need(database, sqlite3_exec(database, statements, NULL, NULL, NULL), SQLITE_OK, statements);
}

static sqlite3 *open_database(const char *file) {
  sqlite3 *database;
  need(database, sqlite3_open_v2(file, &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL), SQLITE_OK, file);
  run(database, "PRAGMA busy_timeout = 30000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  return database;
}

static uint64_t number_of(sqlite3 *database, const char *query) {
  sqlite3_stmt *statement;
  need(database, sqlite3_prepare_v2(database, query, -1, &statement, NULL), SQLITE_OK, query);
  need(database, sqlite3_step(statement), SQLITE_ROW, query);
  uint64_t number = (uint64_t)sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return number;
}

static void insert_once(void *context, int caller, uint64_t number) {
  (void)context;
  writer *writer = &writers[caller];
  char payload[PAYLOAD_BYTES];
  payload_write(payload, (uint64_t)caller << 32 | number);
  pthread_mutex_lock(&turn);
  need(writer->database, sqlite3_bind_text(writer->insertion, 1, payload, PAYLOAD_BYTES, SQLITE_STATIC), SQLITE_OK, "a payload");
  need(writer->database, sqlite3_step(writer->insertion), SQLITE_DONE, "an insertion");
  need(writer->database, sqlite3_reset(writer->insertion), SQLITE_OK, "an insertion");
  pthread_mutex_unlock(&turn);
}

int main(int count, char **arguments) {
  if (count != 4) {
    fprintf(stderr, "usage: deferral_sqlite FILE CALLERS SECONDS\n");
    return 2;
  }
  int callers = (int)number_from(arguments[2], "CALLERS");
  if (callers > CALLERS_MAX) fail("at most %d callers", CALLERS_MAX);
  sqlite3 *watcher = open_database(arguments[1]);
  run(watcher, table);
  /* 2 is FULL. */
  if (number_of(watcher, "PRAGMA synchronous") != 2) fail("SQLite does not wait for the disk");
  for (int index = 0; index < callers; index++) {
    writers[index].database = open_database(arguments[1]);
    need(writers[index].database, sqlite3_prepare_v2(writers[index].database, insertion, -1, &writers[index].insertion, NULL),
      SQLITE_OK, "the statement");
  }
  crowd crowd = {.callers = callers, .seconds = (double)number_from(arguments[3], "SECONDS"), .once = insert_once};
  crowd_result result = crowd_run(&crowd);
  for (int index = 0; index < callers; index++) {
    sqlite3_finalize(writers[index].insertion);
    need(writers[index].database, sqlite3_close(writers[index].database), SQLITE_OK, "closing");
  }
  uint64_t rows = number_of(watcher, "SELECT count(*) FROM river_job WHERE state = 'available'");
  if (rows != result.jobs) fail("SQLite has %llu jobs, and answered %llu", (unsigned long long)rows, (unsigned long long)result.jobs);
  char name[64];
  snprintf(name, sizeof name, "sqlite_%d_per_second", callers);
  figure(name, (double)result.jobs / result.seconds);
  snprintf(name, sizeof name, "sqlite_%d_us_median", callers);
  figure(name, result.waits.median);
  sqlite3_close(watcher);
  return 0;
}
