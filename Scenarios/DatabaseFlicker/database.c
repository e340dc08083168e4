/* SPDX-License-Identifier: Apache-2.0
 * libpq without a wait that has no end. */
#define _GNU_SOURCE
#include "flicker.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void pause_ns(uint64_t nanoseconds) {
  struct timespec duration = {.tv_sec = (time_t)(nanoseconds / SECOND), .tv_nsec = (long)(nanoseconds % SECOND)};
  nanosleep(&duration, NULL);
}

static int wait_for(PGconn *handle, short events, uint64_t until) {
  uint64_t now = monotonic_ns();
  if (now >= until) return 0;
  struct pollfd socket = {.fd = PQsocket(handle), .events = events};
  return poll(&socket, 1, (int)((until - now) / MILLISECOND) + 1) > 0;
}

static void drop(struct connection *connection) {
  if (connection->handle != NULL) PQfinish(connection->handle);
  connection->handle = NULL;
}

static int connect_until(struct connection *connection, const char *conninfo, uint64_t until) {
  if (connection->handle != NULL) return 1;
  connection->handle = PQconnectStart(conninfo);
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (connection->handle != NULL && next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
    if (PQsocket(connection->handle) < 0) break;
    if (!wait_for(connection->handle, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, until)) break;
    next = PQconnectPoll(connection->handle);
  }
  if (connection->handle != NULL && next == PGRES_POLLING_OK) return 1;
  drop(connection);
  return 0;
}

int database_run(struct connection *connection, const char *conninfo, const char *statement, uint64_t timeout_ns) {
  uint64_t until = monotonic_ns() + timeout_ns;
  if (!connect_until(connection, conninfo, until)) return 0;
  if (!PQsendQuery(connection->handle, statement)) {
    drop(connection);
    return 0;
  }
  while (PQisBusy(connection->handle))
    if (!wait_for(connection->handle, POLLIN, until) || !PQconsumeInput(connection->handle)) {
      /* Nobody knows what becomes of it. The connection is of no use any more. */
      drop(connection);
      return 0;
    }
  int is_done = 1;
  for (PGresult *result; (result = PQgetResult(connection->handle)) != NULL; PQclear(result)) {
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) is_done = 0;
  }
  if (PQstatus(connection->handle) != CONNECTION_OK) drop(connection);
  return is_done;
}
