/* SPDX-License-Identifier: Apache-2.0
 * Frames through the C ABI: init, check, responses. The Swift tests go through every byte; this is the edge. */
#include "check.h"
#include "support.h"

#include <string.h>

static void init_writes_what_check_accepts(void) {
  const struct {
    uint8_t type;
    uint16_t flags;
    size_t bytes;
  } shapes[] = {
    {LTP_FRAME_HEARTBEAT, 0, 64},
    {LTP_FRAME_ROUTE_REQUEST, 0, 64},
    {LTP_FRAME_ROUTE_REQUEST, LTP_REQUEST_HAS_GOAL, 128},
    {LTP_FRAME_ROUTE_REQUEST, LTP_REQUEST_REPLAY, 128},
    {LTP_FRAME_ROUTE_REQUEST, LTP_REQUEST_HAS_GOAL | LTP_REQUEST_REPLAY, 128},
    {LTP_FRAME_ORIENTATION, 0, 128},
    {LTP_FRAME_ORIENTATION, LTP_ORIENTATION_HAS_PEER, 192},
    {LTP_FRAME_FOCUS_SNAPSHOT, 0, 192},
  };
  for (size_t index = 0; index < sizeof shapes / sizeof *shapes; index++) {
    uint8_t bytes[LTP_FRAME_BYTES_MAX + 1];
    memset(bytes, 0xAA, sizeof bytes);
    size_t size = shapes[index].bytes;
    CHECK_EQUAL(
      ltp_frame_init(bytes, size - 1, shapes[index].type, shapes[index].flags),
      LTP_ERROR_BUFFER_TOO_SMALL);
    CHECK_EQUAL(ltp_frame_init(bytes, size, shapes[index].type, shapes[index].flags), LTP_OK);
    CHECK_EQUAL(bytes[size], 0xAA);
    ltp_frame_header header;
    memcpy(&header, bytes, sizeof header);
    CHECK_EQUAL(header.magic, LTP_FRAME_MAGIC);
    CHECK_EQUAL(header.version, LTP_PROTOCOL_VERSION);
    CHECK_EQUAL(header.type, shapes[index].type);
    CHECK_EQUAL(header.size_bytes, size);
  }
  uint8_t bytes[LTP_FRAME_BYTES_MAX];
  CHECK_EQUAL(ltp_frame_init(bytes, sizeof bytes, 0, 0), LTP_ERROR_FRAME_TYPE);
  CHECK_EQUAL(ltp_frame_init(bytes, sizeof bytes, 7, 0), LTP_ERROR_FRAME_TYPE);
  CHECK_EQUAL(ltp_frame_init(bytes, sizeof bytes, LTP_FRAME_HELLO, 0x8000), LTP_ERROR_FRAME_FLAGS);
  CHECK_EQUAL(ltp_frame_init(NULL, 64, LTP_FRAME_HELLO, 0), LTP_ERROR_NULL_ARGUMENT);
}

static void check_names_field_and_offset(void) {
  ltp_frame_error error;
  ltp_route_request asked = request(1, 2, CLASS_READ);
  CHECK_EQUAL(ltp_frame_check(&asked, sizeof asked, &error), LTP_OK);
  CHECK_EQUAL(error.status, LTP_OK);
  CHECK(error.field != NULL);
  ltp_route_request broken = asked;
  broken.header.magic = 0;
  CHECK_EQUAL(ltp_frame_check(&broken, sizeof broken, &error), LTP_ERROR_FRAME_MAGIC);
  CHECK_EQUAL(error.offset, 0);
  broken = asked;
  broken.header.version = LTP_PROTOCOL_VERSION - 1;
  CHECK_EQUAL(ltp_frame_check(&broken, sizeof broken, &error), LTP_ERROR_FRAME_VERSION);
  CHECK_EQUAL(error.offset, 2);
  broken = asked;
  broken.header.size_bytes = 128;
  CHECK_EQUAL(ltp_frame_check(&broken, sizeof broken, &error), LTP_ERROR_FRAME_SIZE);
  CHECK_EQUAL(error.offset, 4);
  broken = asked;
  broken.header.flags = 0x100;
  CHECK_EQUAL(ltp_frame_check(&broken, sizeof broken, &error), LTP_ERROR_FRAME_FLAGS);
  CHECK_EQUAL(error.offset, 6);
  broken = asked;
  broken.reserved[2] = 1;
  CHECK_EQUAL(ltp_frame_check(&broken, sizeof broken, &error), LTP_ERROR_FRAME_RESERVED);
  CHECK(error.offset == 60);
  CHECK_TEXT(error.field, "reserved");
  CHECK_EQUAL(ltp_frame_check(&asked, 63, &error), LTP_ERROR_FRAME_SHORT);
  CHECK_EQUAL(ltp_frame_check(NULL, 64, &error), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(error.status, LTP_ERROR_NULL_ARGUMENT);
  CHECK(error.field != NULL);
}

/* A peer claims more than it is; the host knows better. */
static void restricted(void) {
  ltp_route_request asked = request(1, 2, CLASS_READ), same;
  asked.priority = 250, asked.tenant_id = 7, asked.cohort = 9, asked.domain = 3, asked.cost = 0;
  ltp_vouched vouched;
  memset(&vouched, 0, sizeof vouched);
  vouched.priority_max = 255;
  same = asked;
  CHECK_EQUAL(ltp_request_restrict(&asked, &vouched), LTP_OK);
  CHECK(memcmp(&asked, &same, sizeof asked) == 0);
  vouched.session_id = 40, vouched.tenant_id = 41, vouched.cohort = 42, vouched.domain = 43;
  CHECK_EQUAL(ltp_request_restrict(&asked, &vouched), LTP_OK);
  CHECK(memcmp(&asked, &same, sizeof asked) == 0);
  vouched.flags = LTP_VOUCHED_ALL, vouched.priority_max = 100, vouched.cost_min = 5;
  CHECK_EQUAL(ltp_request_restrict(&asked, &vouched), LTP_OK);
  CHECK(asked.session_id == 40 && asked.tenant_id == 41 && asked.cohort == 42 && asked.domain == 43);
  CHECK(asked.priority == 100 && asked.cost == 5 && asked.frame_id == 1 && asked.action_class == CLASS_READ);
  /* Less than that it may claim. */
  asked.priority = 50, asked.cost = 6;
  CHECK_EQUAL(ltp_request_restrict(&asked, &vouched), LTP_OK);
  CHECK(asked.priority == 50 && asked.cost == 6);
  vouched.flags = LTP_VOUCHED_ALL + 1;
  CHECK_EQUAL(ltp_request_restrict(&asked, &vouched), LTP_ERROR_OPTION_RANGE);
  vouched.flags = 0, vouched.reserved = 1;
  CHECK_EQUAL(ltp_request_restrict(&asked, &vouched), LTP_ERROR_OPTION_RANGE);
  CHECK_EQUAL(ltp_request_restrict(NULL, &vouched), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_request_restrict(&asked, NULL), LTP_ERROR_NULL_ARGUMENT);
}

static void responses(void) {
  ltp_route_request asked = request(77, 9, CLASS_PAYMENT);
  ltp_verdict verdict = {.epoch = 5, .policy_generation = 3, .verdict = LTP_VERDICT_EXECUTE,
                         .reason = LTP_REASON_ADMITTED, .state = LTP_STATE_HEALTHY};
  ltp_route_response response;
  REQUIRE_EQUAL(ltp_response_write(&asked, sizeof asked, &verdict, &response), LTP_OK);
  CHECK_EQUAL(ltp_frame_check(&response, sizeof response, NULL), LTP_OK);
  CHECK_EQUAL(response.request_frame_id, 77);
  CHECK_EQUAL(response.session_id, 9);
  CHECK_EQUAL(response.epoch, 5);
  CHECK_EQUAL(response.policy_generation, 3);
  CHECK_EQUAL(response.verdict, LTP_VERDICT_EXECUTE);
  CHECK_EQUAL(response.state, LTP_STATE_HEALTHY);
  verdict = (ltp_verdict){.retry_after_ms = 250, .verdict = LTP_VERDICT_DEFER,
                          .reason = LTP_REASON_SYSTEM_UNSTABLE, .state = LTP_STATE_UNSTABLE,
                          .commitment = LTP_COMMITMENT_WHEN_STABLE};
  REQUIRE_EQUAL(ltp_response_write(&asked, sizeof asked, &verdict, &response), LTP_OK);
  CHECK_EQUAL(response.retry_after_ms, 250);
  CHECK_EQUAL(response.commitment, LTP_COMMITMENT_WHEN_STABLE);
  verdict.commitment = LTP_COMMITMENT_NONE;
  CHECK_EQUAL(ltp_response_write(&asked, sizeof asked, &verdict, &response), LTP_ERROR_FRAME_RANGE);
  verdict = (ltp_verdict){.verdict = 9, .reason = LTP_REASON_ADMITTED};
  CHECK_EQUAL(ltp_response_write(&asked, sizeof asked, &verdict, &response), LTP_ERROR_FRAME_RANGE);
  CHECK_EQUAL(ltp_response_write(&asked, 10, &verdict, &response), LTP_ERROR_FRAME_SHORT);
  CHECK_EQUAL(ltp_response_write(NULL, 64, &verdict, &response), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_response_write(&asked, 64, NULL, &response), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_response_write(&asked, 64, &verdict, NULL), LTP_ERROR_NULL_ARGUMENT);
}

static const struct test tests[] = {
  {"init writes what check accepts", init_writes_what_check_accepts},
  {"check names the field and its offset", check_names_field_and_offset},
  {"a request claims no more than the host vouches for", restricted},
  {"a response tells its verdict", responses},
  {NULL, NULL},
};
const struct suite suite_frames = {"frames", tests};
