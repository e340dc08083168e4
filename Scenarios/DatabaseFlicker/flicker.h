/* SPDX-License-Identifier: Apache-2.0
 * What the service, its clients and the course of the scenario share. */
#ifndef FLICKER_H
#define FLICKER_H

#include <libpq-fe.h>
#include <stdint.h>

#define MILLISECOND ((uint64_t)1000000)
#define SECOND ((uint64_t)1000000000)
#define CLIENTS 100

enum answer { ANSWER_ERROR, ANSWER_CONFIRMED, ANSWER_PENDING, ANSWER_STATE };

/* From a client: an order, or, with number 0, the question what state the service is in. */
struct order {
  uint64_t client, number, amount;
};

struct reply {
  uint32_t answer; /* enum answer */
  uint32_t state;  /* LTP_STATE_* */
  uint64_t ticket;
  char text[48];
};

struct settings {
  const char *socket, *trace, *database; /* database: libpq's conninfo */
  int with_ltp;
  uint64_t timeout_ns; /* of a write to the database */
};

uint64_t monotonic_ns(void);
void pause_ns(uint64_t nanoseconds);

/* The database, with every wait bounded: a server that is stopped answers nothing. */
struct connection {
  PGconn *handle;
};
/* 1: done, or, for a constraint that holds it off, there already; 0: an error, or no answer in time: it may have happened. */
int database_run(struct connection *connection, const char *conninfo, const char *statement, uint64_t timeout_ns);

/* The order service, in a process of its own, until SIGTERM. Its exit status. */
int serve(const struct settings *settings);

/* What the clients saw. */
struct tally {
  uint64_t sent, confirmed, pending, errors, refreshed, given_up, reconnected;
};
struct fleet;
struct fleet *fleet_start(const char *socket, int with_ltp);
/* Has each client send so many orders, spread over a time, and waits for their answers. */
void fleet_send(struct fleet *fleet, int orders, uint64_t within_ns);
struct tally fleet_tally(struct fleet *fleet);
/* The state that the service says it is in; 0 while nobody answers. */
uint32_t service_state(const char *socket);

#endif
