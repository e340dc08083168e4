/* SPDX-License-Identifier: Apache-2.0
 *
 * The deferral log measured over the public C interface, a part at a time: scripts/bench-deferral runs the parts and puts their
 * figures together. Each directory must exist and be empty, but for `open` and `decisions`, which take what `fill` left.
 *
 *   deferral_main alone DIRECTORY SECONDS
 *   deferral_main crowd DIRECTORY CALLERS SECONDS LANES
 *   deferral_main replay DIRECTORY COUNT WORKERS
 *   deferral_main fill DIRECTORY COUNT INTENTS-A-SESSION
 *   deferral_main open DIRECTORY COUNT
 *   deferral_main decisions EMPTY-DIRECTORY FULL-DIRECTORY COUNT PAIRS
 */
#include "deferral_core.h"

#include <stdio.h>
#include <string.h>

int main(int count, char **arguments) {
  const char *part = count > 1 ? arguments[1] : "";
  if (strcmp(part, "alone") == 0 && count == 4) {
    measure_alone(arguments[2], number_from(arguments[3], "SECONDS"));
  } else if (strcmp(part, "crowd") == 0 && count == 6) {
    measure_crowd(
      arguments[2], number_from(arguments[3], "CALLERS"), number_from(arguments[4], "SECONDS"), number_from(arguments[5], "LANES"));
  } else if (strcmp(part, "replay") == 0 && count == 5) {
    measure_replay(arguments[2], number_from(arguments[3], "COUNT"), number_from(arguments[4], "WORKERS"));
  } else if (strcmp(part, "fill") == 0 && count == 5) {
    measure_filling(arguments[2], number_from(arguments[3], "COUNT"), number_from(arguments[4], "INTENTS-A-SESSION"));
  } else if (strcmp(part, "open") == 0 && count == 4) {
    measure_opening(arguments[2], number_from(arguments[3], "COUNT"));
  } else if (strcmp(part, "decisions") == 0 && count == 6) {
    measure_decisions(
      arguments[2], arguments[3], number_from(arguments[4], "COUNT"), number_from(arguments[5], "PAIRS"));
  } else {
    fprintf(stderr, "usage: deferral_main alone|crowd|replay|fill|open|decisions ...; see the head of deferral_main.c\n");
    return 2;
  }
  return 0;
}
