// SPDX-License-Identifier: Apache-2.0
//
// C++17: the core and a lane as owners that close themselves. Prints how a mix of actions is decided while the
// service is well, and after its database failed.
//
//   guard TRACE_DIRECTORY
#include <cstdio>
#include <ltp.h>
#include <memory>
#include <stdexcept>

namespace {

struct CloseCore {
  void operator()(ltp_core *core) const { ltp_core_close(core, 10'000'000'000, nullptr); }
};
struct CloseLane {
  void operator()(ltp_lane *lane) const { ltp_lane_close(lane); }
};
using Core = std::unique_ptr<ltp_core, CloseCore>;
using Lane = std::unique_ptr<ltp_lane, CloseLane>;

Core open_core(const char *directory) {
  ltp_core_options options;
  ltp_core_options_init(&options, sizeof options);
  options.trace_directory = directory;
  ltp_core *core = nullptr;
  ltp_error error;
  if (ltp_core_open(&options, &core, &error) != LTP_OK) throw std::runtime_error(error.message);
  return Core(core);
}

Lane open_lane(const Core &core) {
  ltp_lane *lane = nullptr;
  ltp_error error;
  if (ltp_lane_open(core.get(), &lane, &error) != LTP_OK) throw std::runtime_error(error.message);
  return Lane(lane);
}

void publish(const Core &core, uint8_t state, uint8_t reason) {
  ltp_transition transition{};
  transition.struct_size = sizeof transition;
  transition.to = state;
  transition.reason = reason;
  if (ltp_orientation_publish(core.get(), &transition, nullptr) != LTP_OK) throw std::runtime_error("not published");
}

void show(const Lane &lane, uint8_t action_class, const char *name) {
  static uint64_t frame_id = 0;
  ltp_route_request request;
  ltp_frame_init(&request, sizeof request, LTP_FRAME_ROUTE_REQUEST, 0);
  request.frame_id = ++frame_id;
  request.session_id = 7;
  request.action_class = action_class;
  request.priority = 128;
  const ltp_verdict verdict = ltp_admit(lane.get(), &request, sizeof request);
  std::printf("%-10s %-14s %s: %s\n", ltp_state_name(verdict.state), name, ltp_verdict_name(verdict.verdict),
              ltp_reason_name(verdict.reason));
}

} // namespace

int main(int count, char **arguments) {
  if (count != 2) return std::fprintf(stderr, "usage: guard TRACE_DIRECTORY\n"), 2;
  try {
    const Core core = open_core(arguments[1]);
    const Lane lane = open_lane(core);
    publish(core, LTP_STATE_HEALTHY, LTP_SIGNAL_METRICS_STABILIZED);
    show(lane, 0, "ping");
    show(lane, 25, "order_create");
    publish(core, LTP_STATE_FAILED, LTP_SIGNAL_DB_WRITE_LATENCY);
    show(lane, 0, "ping");
    show(lane, 25, "order_create");
  } catch (const std::exception &error) {
    return std::fprintf(stderr, "guard: %s\n", error.what()), 1;
  }
}
