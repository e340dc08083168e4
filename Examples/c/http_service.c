/* SPDX-License-Identifier: Apache-2.0
 *
 * A stateless service: its HTTP clients have no session, so the worker mints one for what it does on their behalf. What reads
 * for anybody is of a stateless class and passes a RECOVERING without a token; what changes an order is stamped with the worker's session
 * when the request comes in, and after an outage the worker shakes hands with its own core before it goes on.
 *
 *   http_service PORT TRACE_DIRECTORY     port 0: any; the one taken is printed. SIGTERM or Ctrl-C end it in order.
 *
 *   GET /orders/7                  reads
 *   PUT /orders/7                  changes
 *   POST /orientation/UNSTABLE     the admin endpoint: what the service is like from now on
 *
 * One request a connection, one worker; several workers are several threads, each with a lane and a session of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <ltp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

#define CLASS_READ 8
#define CLASS_ORDER_MODIFY 43
#define WORKER_SESSION 1 /* one for each worker, for good */

static ltp_core *core;
static ltp_lane *lane;
static ltp_session session;
static uint64_t frames;

/* The worker shakes hands with its own core. In several workers' place, each would, at its own time. */
static void greet(void) {
  ltp_hello hello, answer;
  if (ltp_session_hello(&session, 0, &hello) != LTP_OK) return; /* told to wait: until then what acts is refused */
  int32_t status = ltp_hello_answer(lane, &hello, sizeof hello, &answer);
  if (status != LTP_OK && status != LTP_ERROR_HELLO_LATER) return;
  if (ltp_session_greeted(&session, 0, &answer, sizeof answer) != LTP_OK) return;
  /* Here the worker would look what became of what it had begun, in its database. */
  ltp_session_resynced(&session);
}

/* Stamps what has just come in. An outage since the worker's last handshake makes the worker's session old, not this request: it
 * shakes hands first. What was stamped before an outage and decided after it is refused, and its client asks anew. */
static void stamp(ltp_route_request *request) {
  ltp_orientation now;
  int is_old = ltp_orientation_get(core, &now) != LTP_OK || now.continuity_epoch != session.continuity_epoch;
  if (session.phase != LTP_SESSION_LIVE || is_old) greet();
  ltp_session_stamp(&session, request); /* without a life it has no token, and the core says what is missing */
}

static void respond(int client, const char *line, const ltp_verdict *verdict) {
  char body[256], text[512];
  snprintf(
    body, sizeof body, "{\"verdict\":\"%s\",\"reason\":\"%s\",\"state\":\"%s\"}\n", ltp_verdict_name(verdict->verdict),
    ltp_reason_name(verdict->reason), ltp_state_name(verdict->state));
  char later[64] = "";
  if (verdict->verdict != LTP_VERDICT_EXECUTE)
    snprintf(later, sizeof later, "Retry-After: %u\r\n", (verdict->retry_after_ms + 999) / 1000);
  int size = snprintf(
    text, sizeof text, "HTTP/1.1 %s\r\n%sContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
    line, later, strlen(body), body);
  (void)!send(client, text, (size_t)size, MSG_NOSIGNAL);
}

static void plain(int client, const char *line) {
  char text[128];
  int size = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", line);
  (void)!send(client, text, (size_t)size, MSG_NOSIGNAL);
}

static void decide(int client, uint8_t action_class) {
  ltp_route_request request;
  ltp_frame_init(&request, sizeof request, LTP_FRAME_ROUTE_REQUEST, 0);
  request.frame_id = ++frames;
  request.session_id = WORKER_SESSION;
  request.action_class = action_class;
  request.priority = 128;
  /* The intent is made now: from here on an outage makes it stale. What only reads is nobody's intent. */
  if (action_class != CLASS_READ) stamp(&request);
  /* Here the service would read the body, ask others, and so on. */
  ltp_verdict verdict = ltp_admit(lane, &request, sizeof request);
  if (verdict.verdict == LTP_VERDICT_EXECUTE) {
    /* Here it would read or change the order, with ltp_lane_fence() in the WHERE clause. */
    respond(client, "200 OK", &verdict);
    return;
  }
  ltp_route_response told;
  if (ltp_response_write(&request, sizeof request, &verdict, &told) == LTP_OK)
    ltp_session_told(&session, 0, &request, &told, sizeof told, NULL);
  respond(client, verdict.verdict == LTP_VERDICT_DEFER ? "202 Accepted" : "503 Service Unavailable", &verdict);
}

static void orient(int client, const char *name) {
  for (uint8_t state = 0; state < LTP_STATE_COUNT; state++) {
    if (strcasecmp(ltp_state_name(state), name) != 0) continue;
    ltp_transition transition = {
      .struct_size = sizeof transition,
      .to = state,
      .reason = state == LTP_STATE_UNSTABLE ? LTP_SIGNAL_DB_WRITE_LATENCY : LTP_SIGNAL_METRICS_STABILIZED};
    int32_t status = ltp_orientation_publish(core, &transition, NULL);
    plain(client, status == LTP_OK ? "204 No Content" : "409 Conflict");
    return;
  }
  plain(client, "404 Not Found");
}

static void serve(int client) {
  char text[2048];
  /* A client that says nothing does not hold the worker. */
  struct timeval patience = {.tv_sec = 1};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  size_t size = 0;
  do {
    ssize_t got = recv(client, text + size, sizeof text - 1 - size, 0);
    if (got <= 0) return;
    size += (size_t)got;
    text[size] = 0;
  } while (strstr(text, "\r\n\r\n") == NULL && size < sizeof text - 1);
  char method[8], path[64];
  int end = 0;
  if (sscanf(text, "%7s %63s HTTP/1.%n", method, path, &end) != 2 || end == 0)
    plain(client, "400 Bad Request");
  else if (strcmp(method, "GET") == 0 && strncmp(path, "/orders/", 8) == 0)
    decide(client, CLASS_READ);
  else if (strcmp(method, "PUT") == 0 && strncmp(path, "/orders/", 8) == 0)
    decide(client, CLASS_ORDER_MODIFY);
  else if (strcmp(method, "POST") == 0 && strncmp(path, "/orientation/", 13) == 0)
    orient(client, path + 13);
  else
    plain(client, "404 Not Found");
}

static int listen_on(uint16_t port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {
    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int on = 1;
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 128) != 0 ||
      getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
    fprintf(stderr, "http_service: cannot listen: %s\n", strerror(errno));
    exit(1);
  }
  printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: http_service PORT TRACE_DIRECTORY\n");
    return 2;
  }
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, NULL);

  /* The built-in policy, and a class of it that anybody may ask for; Examples/policies/http.json has more of them, and signals. */
  ltp_policy policy;
  ltp_policy_default(&policy);
  policy.classes[CLASS_READ].attributes |= LTP_CLASS_STATELESS;
  ltp_core_options options;
  ltp_core_options_init(&options, sizeof options);
  options.trace_directory = arguments[2];
  options.policy = &policy;
  ltp_error error;
  if (ltp_core_open(&options, &core, &error) || ltp_lane_open(core, &lane, &error)) {
    fprintf(stderr, "http_service: %s\n", error.message);
    return 1;
  }
  ltp_session_init(&session, WORKER_SESSION, 0);

  int listener = listen_on((uint16_t)atoi(arguments[1]));
  struct pollfd sources[] = {{.fd = listener, .events = POLLIN}, {.fd = signalfd(-1, &ends, SFD_CLOEXEC), .events = POLLIN}};
  while (poll(sources, 2, -1) >= 0 || errno == EINTR) {
    if (sources[1].revents != 0) break;
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    serve(client);
    /* What the client still sends is read, or the answer could be lost with it. */
    shutdown(client, SHUT_WR);
    char rest[2048];
    while (recv(client, rest, sizeof rest, 0) > 0) continue;
    close(client);
  }
  ltp_lane_close(lane);
  if (ltp_core_close(core, UINT64_C(10000000000), &error) != LTP_OK) {
    fprintf(stderr, "http_service: %s\n", error.message);
    return 1;
  }
  return 0;
}
