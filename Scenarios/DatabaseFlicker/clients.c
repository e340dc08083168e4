/* SPDX-License-Identifier: Apache-2.0
 * A hundred clients, a thread and a connection each. A user who sees an error, or is impatient while an order is pending, refreshes. */
#define _GNU_SOURCE
#include "flicker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
  struct fleet *fleet;
  uint64_t id, next, random;
  int socket;
  pthread_t thread;
  struct tally tally;
};

struct fleet {
  const char *path;
  int with_ltp, orders;
  uint64_t within_ns;
  pthread_barrier_t begin, end;
  struct client clients[CLIENTS];
};

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(made, (struct sockaddr *)&address, sizeof address) == 0) return made;
  close(made);
  return -1;
}

static int ask(int socket, const struct order *order, struct reply *reply) {
  return send(socket, order, sizeof *order, MSG_NOSIGNAL) == sizeof *order &&
         recv(socket, reply, sizeof *reply, MSG_WAITALL) == sizeof *reply;
}

uint32_t service_state(const char *path) {
  struct reply reply = {0};
  int made = connect_to(path);
  if (made < 0) return 0;
  if (!ask(made, &(struct order){0}, &reply)) reply.state = 0;
  close(made);
  return reply.state;
}

static uint64_t draw(struct client *client, uint64_t limit) {
  client->random = client->random * 6364136223846793005u + 1442695040888963407u;
  return (client->random >> 33) % limit;
}

/* Asks until somebody answers: a service that was killed comes back. */
static struct reply ask_until(struct client *client, const struct order *order) {
  struct reply reply;
  for (;;) {
    if (client->socket >= 0 && ask(client->socket, order, &reply)) return reply;
    if (client->socket >= 0) {
      close(client->socket);
      client->tally.reconnected++;
    }
    pause_ns(5 * MILLISECOND);
    client->socket = connect_to(client->fleet->path);
  }
}

static void send_one(struct client *client) {
  struct order order = {client->id, ++client->next, 1 + draw(client, 1000)};
  client->tally.sent++;
  struct reply reply = ask_until(client, &order);
  if (reply.answer == ANSWER_ERROR) {
    client->tally.errors++;
    /* "Did my order go through?" Half of them try again, and the page makes a new order of it. */
    if (draw(client, 2) == 0) {
      client->tally.refreshed++;
      if (ask_until(client, &order).answer == ANSWER_ERROR) client->tally.given_up++;
    } else {
      client->tally.given_up++;
    }
    return;
  }
  if (reply.answer == ANSWER_CONFIRMED) client->tally.confirmed++;
  if (reply.answer != ANSWER_PENDING) return;
  client->tally.pending++;
  if (draw(client, 5) != 0) return;
  client->tally.refreshed++;
  struct reply again = ask_until(client, &order);
  if (again.answer == ANSWER_ERROR || (again.answer == ANSWER_PENDING && again.ticket != reply.ticket)) client->tally.errors++;
}

static void *live(void *context) {
  struct client *client = context;
  for (;;) {
    pthread_barrier_wait(&client->fleet->begin);
    for (int order = 0; order < client->fleet->orders; order++) {
      pause_ns(draw(client, 2 * client->fleet->within_ns / (uint64_t)client->fleet->orders));
      send_one(client);
    }
    pthread_barrier_wait(&client->fleet->end);
  }
  return NULL;
}

struct fleet *fleet_start(const char *path, int with_ltp) {
  struct fleet *fleet = calloc(1, sizeof *fleet);
  fleet->path = path, fleet->with_ltp = with_ltp;
  pthread_barrier_init(&fleet->begin, NULL, CLIENTS + 1);
  pthread_barrier_init(&fleet->end, NULL, CLIENTS + 1);
  for (int index = 0; index < CLIENTS; index++) {
    struct client *client = &fleet->clients[index];
    *client = (struct client){.fleet = fleet, .id = (uint64_t)index + 1, .random = (uint64_t)index * 977 + 5, .socket = -1};
    pthread_create(&client->thread, NULL, live, client);
  }
  return fleet;
}

void fleet_send(struct fleet *fleet, int orders, uint64_t within_ns) {
  fleet->orders = orders, fleet->within_ns = within_ns;
  pthread_barrier_wait(&fleet->begin);
  pthread_barrier_wait(&fleet->end);
}

struct tally fleet_tally(struct fleet *fleet) {
  struct tally total = {0};
  for (int index = 0; index < CLIENTS; index++) {
    struct tally one = fleet->clients[index].tally;
    total.sent += one.sent, total.confirmed += one.confirmed, total.pending += one.pending, total.errors += one.errors;
    total.refreshed += one.refreshed, total.given_up += one.given_up, total.reconnected += one.reconnected;
  }
  return total;
}
