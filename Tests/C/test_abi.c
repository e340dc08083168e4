/* SPDX-License-Identifier: Apache-2.0
 * Versions, names, texts of status codes, and the rule for structures that grow. */
#include "check.h"
#include "support.h"

#include <string.h>

static void versions(void) {
  CHECK_EQUAL(ltp_abi_version(), LTP_ABI_VERSION);
  const char *version = ltp_version_string();
  REQUIRE(version != NULL);
  CHECK(version[0] >= '0' && version[0] <= '9' && strchr(version, '.') != NULL);
}

static void names(void) {
  CHECK(strcmp(ltp_state_name(LTP_STATE_UNKNOWN), "UNKNOWN") == 0);
  CHECK(strcmp(ltp_state_name(LTP_STATE_RECOVERING), "RECOVERING") == 0);
  CHECK(strcmp(ltp_verdict_name(LTP_VERDICT_DENY), "DENY") == 0);
  CHECK(strcmp(ltp_verdict_name(LTP_VERDICT_EXECUTE), "EXECUTE") == 0);
  CHECK(strcmp(ltp_reason_name(LTP_REASON_REHANDSHAKE_REQUIRED), "REHANDSHAKE_REQUIRED") == 0);
  CHECK(strcmp(ltp_signal_name(LTP_SIGNAL_DB_WRITE_LATENCY), "DB_WRITE_LATENCY") == 0);
}

static void each_name_is_its_own(void) {
  const char *(*const tables[])(uint8_t) = {
    ltp_state_name, ltp_verdict_name, ltp_reason_name, ltp_signal_name};
  const int counts[] = {LTP_STATE_COUNT, LTP_VERDICT_COUNT, LTP_REASON_COUNT, LTP_OBSERVATION_COUNT + 1};
  for (int table = 0; table < 4; table++) {
    for (int value = 0; value < 256; value++) {
      const char *name = tables[table]((uint8_t)value);
      REQUIRE(name != NULL);
      int is_own = table == 3 && value >= LTP_SIGNAL_OWN_FIRST && value < LTP_SIGNAL_OWN_FIRST + LTP_SIGNAL_OWN_COUNT;
      int exists = value < counts[table] || is_own;
      CHECK_EQUAL(strcmp(name, "INVALID") == 0, !exists);
      for (int other = 0; other < value && exists; other++)
        CHECK(strcmp(name, tables[table]((uint8_t)other)) != 0);
    }
  }
}

static void status_texts(void) {
  const char *unknown = ltp_status_text(-1);
  REQUIRE(unknown != NULL);
  for (int32_t status = -3; status < 200; status++) {
    const char *text = ltp_status_text(status);
    REQUIRE(text != NULL);
    CHECK(strlen(text) > 0 && strlen(text) < sizeof ((ltp_error *)0)->message);
    int known = (status >= 0 && status <= 42) ||
                (status >= 48 && status <= 54) || (status >= 64 && status <= 74) ||
                (status >= 80 && status <= 88) || (status >= 96 && status <= 103);
    CHECK_EQUAL(strcmp(text, unknown) != 0, known);
  }
}

static void options_init(void) {
  struct {
    ltp_core_options options;
    uint8_t tail[64];
  } grown;
  memset(&grown, 0xAA, sizeof grown);
  CHECK_EQUAL(ltp_core_options_init(NULL, sizeof grown.options), LTP_ERROR_NULL_ARGUMENT);
  CHECK_EQUAL(ltp_core_options_init(&grown.options, 4), LTP_ERROR_STRUCT_SIZE);
  CHECK_EQUAL(
    ltp_core_options_init(&grown.options, sizeof grown.options - 1), LTP_ERROR_STRUCT_SIZE);
  CHECK_EQUAL(grown.tail[0], 0xAA);
  CHECK_EQUAL(ltp_core_options_init(&grown.options, sizeof grown.options), LTP_OK);
  CHECK_EQUAL(grown.tail[0], 0xAA);
  CHECK_EQUAL(grown.options.struct_size, sizeof grown.options);
  CHECK_EQUAL(grown.options.segment_bytes, 64 << 20);
  CHECK_EQUAL(grown.options.block_bytes, 256 << 10);
  CHECK_EQUAL(grown.options.lane_blocks, 16);
  CHECK_EQUAL(grown.options.lanes_max, 16);
  CHECK_EQUAL(grown.options.inflight_blocks_max, 8);
  CHECK_EQUAL(grown.options.commit_interval_ns, MILLISECOND);
  CHECK_EQUAL(grown.options.clock_interval_ns, MILLISECOND);
  CHECK_EQUAL(grown.options.lock_wait_ns, 500 * MILLISECOND);
  CHECK_EQUAL(grown.options.backpressure_wait_ns, 0);
  /* A caller with a later header: the fields that this library does not know are zeroed for it. */
  CHECK_EQUAL(ltp_core_options_init(&grown.options, sizeof grown), LTP_OK);
  CHECK_EQUAL(grown.options.struct_size, sizeof grown);
  CHECK_EQUAL(grown.tail[0] | grown.tail[63], 0);
}

static void grown_structures(void) {
  struct {
    ltp_core_options options;
    uint8_t tail[64];
  } grown;
  ltp_core *core = NULL;
  ltp_error error;
  REQUIRE_EQUAL(ltp_core_options_init(&grown.options, sizeof grown), LTP_OK);
  grown.options.trace_directory = new_directory();
  grown.tail[63] = 1;
  CHECK_EQUAL(ltp_core_open(&grown.options, &core, &error), LTP_ERROR_STRUCT_SIZE);
  CHECK(core == NULL);
  CHECK_EQUAL(error.status, LTP_ERROR_STRUCT_SIZE);
  grown.tail[63] = 0;
  REQUIRE_EQUAL(ltp_core_open(&grown.options, &core, &error), LTP_OK);
  struct {
    ltp_transition change;
    uint8_t tail[8];
  } later;
  memset(&later, 0, sizeof later);
  later.change.struct_size = sizeof later;
  later.change.to = LTP_STATE_HEALTHY;
  later.change.reason = LTP_SIGNAL_OPERATOR;
  CHECK_EQUAL(ltp_orientation_publish(core, &later.change, NULL), LTP_OK);
  later.tail[7] = 1;
  CHECK_EQUAL(ltp_orientation_publish(core, &later.change, NULL), LTP_ERROR_STRUCT_SIZE);
  later.change.struct_size = sizeof later.change - 1;
  CHECK_EQUAL(ltp_orientation_publish(core, &later.change, NULL), LTP_ERROR_STRUCT_SIZE);
  struct {
    ltp_status status;
    uint8_t tail[32];
  } wide;
  memset(&wide, 0xAA, sizeof wide);
  CHECK_EQUAL(ltp_core_status(core, &wide.status, sizeof wide), LTP_OK);
  CHECK_EQUAL(wide.tail[31], 0);
  CHECK_EQUAL(ltp_core_status(core, &wide.status, sizeof wide.status - 1), LTP_ERROR_STRUCT_SIZE);
  close_core(core);
}

static const struct test tests[] = {
  {"versions", versions},
  {"names", names},
  {"each value has a name of its own, others none", each_name_is_its_own},
  {"each status has a text of its own", status_texts},
  {"ltp_core_options_init fills in the defaults, within its size", options_init},
  {"structures may grow: a longer one passes when its tail is zero", grown_structures},
  {NULL, NULL},
};
const struct suite suite_abi = {"abi", tests};
