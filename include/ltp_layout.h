/* SPDX-License-Identifier: Apache-2.0
 *
 * ltp_layout.h: where fields lie, as constants that Swift can import. Swift has no offsetof for imported structures
 * that works in every build mode, and a number typed again is wrong one day. Part of the sources, not of the contract:
 * it is not installed.
 *
 * LTP_AT_structure_field is the field's offset, LTP_END_structure_field the offset of the first byte after it.
 */
#ifndef LTP_LAYOUT_H
#define LTP_LAYOUT_H

#include "ltp.h"
#include "ltp_trace.h"

#define LTP_FIELD(structure, field)                                         \
  enum {                                                                    \
    LTP_AT_##structure##_##field = offsetof(ltp_##structure, field),        \
    LTP_END_##structure##_##field =                                         \
      offsetof(ltp_##structure, field) + sizeof(((ltp_##structure *)0)->field) \
  }

/* ---- Frames ------------------------------------------------------------------------------------------- */

LTP_FIELD(route_request, intent_epoch);
LTP_FIELD(route_request, incarnation);
LTP_FIELD(route_request, domain);
LTP_FIELD(route_request, reserved);

#endif /* LTP_LAYOUT_H */
