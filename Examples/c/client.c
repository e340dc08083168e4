/* SPDX-License-Identifier: Apache-2.0
 *
 * Shakes hands with the server, sends COUNT order changes, and says how they were answered.
 *
 *   client PORT COUNT
 */
#define _GNU_SOURCE
#include <ltp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int exchange(int socket, const void *frame, void *reply) {
  return send(socket, frame, 64, MSG_NOSIGNAL) == 64 && recv(socket, reply, 64, MSG_WAITALL) == 64;
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: client PORT COUNT\n");
    return 2;
  }
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int connected = socket(AF_INET, SOCK_STREAM, 0);
  if (connected < 0 || connect(connected, (struct sockaddr *)&server, sizeof server) != 0) {
    perror("client: cannot connect");
    return 1;
  }
  ltp_hello hello, granted;
  ltp_frame_init(&hello, sizeof hello, LTP_FRAME_HELLO, 0);
  hello.frame_id = 1, hello.session_id = 42, hello.client_nonce = (uint64_t)time(NULL) << 20 | (uint64_t)getpid();
  hello.version_min = hello.version_max = LTP_PROTOCOL_VERSION;
  if (!exchange(connected, &hello, &granted)) return fprintf(stderr, "client: no answer to hello\n"), 1;
  unsigned answers[LTP_VERDICT_COUNT] = {0};
  for (int index = 0; index < atoi(arguments[2]); index++) {
    ltp_route_request request;
    ltp_route_response response;
    ltp_frame_init(&request, sizeof request, LTP_FRAME_ROUTE_REQUEST, 0);
    request.frame_id = (uint64_t)index + 2, request.session_id = 42;
    request.continuity_token = granted.continuity_token, request.incarnation = granted.incarnation;
    request.intent_epoch = granted.continuity_epoch; /* when it is made; sent again, it keeps it */
    request.action_class = 40 /* order_modify */, request.priority = 200;
    if (!exchange(connected, &request, &response) || response.verdict >= LTP_VERDICT_COUNT ||
        response.request_frame_id != request.frame_id)
      return fprintf(stderr, "client: no answer to request %d\n", index), 1;
    answers[response.verdict]++;
  }
  printf("EXECUTE %u, DENY %u, DEFER %u\n", answers[LTP_VERDICT_EXECUTE], answers[LTP_VERDICT_DENY],
    answers[LTP_VERDICT_DEFER]);
  close(connected);
  return 0;
}
