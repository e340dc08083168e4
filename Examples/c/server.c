/* SPDX-License-Identifier: Apache-2.0
 *
 * A TCP service that asks before it works: one thread, epoll, binary frames. Each hello is answered with a continuity
 * token, each route_request with a route_response; anything else ends the connection. The core starts no thread either:
 * its descriptor is one more in the loop.
 *
 *   server PORT TRACE_DIRECTORY     port 0: any; the one taken is printed. SIGTERM or Ctrl-C end it in order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <ltp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define FRAME_BYTES_MAX 128 /* a request with its goal */

typedef struct connection {
  int socket;
  size_t used;
  uint8_t bytes[4096];
} connection;

static connection *connections[CONNECTIONS_MAX];

static void fail(const char *what) {
  fprintf(stderr, "server: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* Small answers on a socket whose peer reads them: a peer that does not is dropped. */
static int answer(int socket, const void *frame) {
  return send(socket, frame, 64, MSG_NOSIGNAL | MSG_DONTWAIT) == 64;
}

/* Answers one whole frame; 0 ends the connection. */
static int serve(ltp_lane *lane, int socket, const uint8_t *frame, size_t bytes) {
  if (frame[3] == LTP_FRAME_HELLO) {
    ltp_hello reply;
    int32_t status = ltp_hello_answer(lane, frame, bytes, &reply);
    /* One that is put off has an answer, too: when to ask again. */
    return (status == LTP_OK || status == LTP_ERROR_HELLO_LATER) && answer(socket, &reply);
  }
  if (frame[3] != LTP_FRAME_ROUTE_REQUEST) return 0;
  ltp_verdict verdict = ltp_admit(lane, frame, bytes);
  if (verdict.verdict == LTP_VERDICT_EXECUTE) {
    /* Here the service would do its work. Before a critical action it waits for ltp_lane_wait_durable(). */
  }
  ltp_route_response response;
  return ltp_response_write(frame, bytes, &verdict, &response) == LTP_OK && answer(socket, &response);
}

/* Reads what there is and answers every whole frame in it; 0 ends the connection. */
static int receive(ltp_lane *lane, connection *from) {
  ssize_t got = recv(from->socket, from->bytes + from->used, sizeof from->bytes - from->used, MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return 0;
  from->used += (size_t)got;
  size_t done = 0;
  while (from->used - done >= LTP_FRAME_LINE_BYTES) {
    ltp_frame_header header;
    memcpy(&header, from->bytes + done, sizeof header);
    if (header.size_bytes < LTP_FRAME_LINE_BYTES || header.size_bytes > FRAME_BYTES_MAX) return 0;
    if (from->used - done < header.size_bytes) break;
    ltp_frame_error error;
    if (ltp_frame_check(from->bytes + done, from->used - done, &error) != LTP_OK) {
      fprintf(stderr, "server: %s at byte %u: %s\n", error.field, error.offset, ltp_status_text(error.status));
      return 0;
    }
    if (!serve(lane, from->socket, from->bytes + done, header.size_bytes)) return 0;
    done += header.size_bytes;
  }
  memmove(from->bytes, from->bytes + done, from->used - done);
  from->used -= done;
  return 1;
}

static void drop(connection *gone) {
  connections[gone->socket] = NULL;
  close(gone->socket);
  free(gone);
}

static void accept_one(int poll, int listener) {
  int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socket < 0) return;
  connection *new = socket < CONNECTIONS_MAX ? calloc(1, sizeof *new) : NULL;
  struct epoll_event event = {.events = EPOLLIN, .data.fd = socket};
  if (new == NULL || epoll_ctl(poll, EPOLL_CTL_ADD, socket, &event) != 0) {
    free(new);
    close(socket);
    return;
  }
  new->socket = socket;
  connections[socket] = new;
}

static int listen_on(uint16_t port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {
    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int on = 1;
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 128) != 0 ||
      getsockname(listener, (struct sockaddr *)&address, &size) != 0)
    fail("cannot listen");
  printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: server PORT TRACE_DIRECTORY\n");
    return 2;
  }
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, NULL);

  ltp_core_options options;
  ltp_core_options_init(&options, sizeof options);
  options.trace_directory = arguments[2];
  options.flags = LTP_OPEN_HOST_DRIVEN;
  ltp_core *core;
  ltp_lane *lane;
  ltp_error error;
  if (ltp_core_open(&options, &core, &error) || ltp_lane_open(core, &lane, &error)) {
    fprintf(stderr, "server: %s\n", error.message);
    return 1;
  }
  ltp_transition healthy = {
    .struct_size = sizeof healthy, .to = LTP_STATE_HEALTHY, .reason = LTP_SIGNAL_METRICS_STABILIZED};
  ltp_orientation_publish(core, &healthy, NULL);

  int poll = epoll_create1(EPOLL_CLOEXEC), listener = listen_on((uint16_t)atoi(arguments[1]));
  int end = signalfd(-1, &ends, SFD_CLOEXEC);
  int32_t due = -1;
  ltp_event_descriptor(core, &due);
  int sources[] = {listener, end, due};
  for (int index = 0; index < 3; index++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = sources[index]};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, sources[index], &event) != 0) fail("cannot poll");
  }
  for (int running = 1; running;) {
    struct epoll_event events[64];
    int ready = epoll_wait(poll, events, 64, -1);
    if (ready < 0 && errno != EINTR) fail("cannot wait");
    for (int index = 0; index < ready; index++) {
      int source = events[index].data.fd;
      if (source == end)
        running = 0;
      else if (source == due) {
        int32_t status = ltp_poll(core);
        if (status != LTP_OK) fprintf(stderr, "server: denies everything: %s\n", ltp_status_text(status)), running = 0;
      }
      else if (source == listener)
        accept_one(poll, listener);
      else if (connections[source] != NULL && !receive(lane, connections[source]))
        drop(connections[source]);
    }
  }
  for (int socket = 0; socket < CONNECTIONS_MAX; socket++)
    if (connections[socket] != NULL) drop(connections[socket]);
  printf("%llu records\n", (unsigned long long)ltp_lane_sequence(lane));
  ltp_lane_close(lane);
  if (ltp_core_close(core, 10000000000u, &error) != LTP_OK) {
    fprintf(stderr, "server: %s\n", error.message);
    return 1;
  }
  return 0;
}
