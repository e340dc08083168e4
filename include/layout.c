/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the contract a C target of the Swift package, so that a change of a header rebuilds what depends on it, and asserts
 * the places that Swift names by a constant of the contract. Swift reads every other field through the imported structure. */
#include "ltp_layout.h"

/* RouteRequestView.mustBeZero reads a word and half a word. */
LTP_STATIC_ASSERT(LTP_AT_route_request_incarnation == LTP_AT_route_request_intent_epoch + 4, request_unused_word);
LTP_STATIC_ASSERT(LTP_END_route_request_incarnation == LTP_AT_route_request_intent_epoch + 8, request_unused_word_end);
LTP_STATIC_ASSERT(LTP_AT_route_request_reserved == LTP_AT_route_request_domain + 1, request_unused_half);
LTP_STATIC_ASSERT(LTP_END_route_request_reserved == LTP_AT_route_request_domain + 4, request_unused_half_end);

LTP_STATIC_ASSERT(offsetof(ltp_block_header, slot_count) == 56, block_header_slot_count_offset);
