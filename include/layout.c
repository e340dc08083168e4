/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the contract a C target of the Swift package, so that a change of a header rebuilds what depends on it, and asserts
 * the places that Swift names by a constant of the contract. Swift reads every other field through the imported structure. */
#include "ltp.h"
#include "ltp_trace.h"

LTP_STATIC_ASSERT(offsetof(ltp_block_header, slot_count) == 56, block_header_slot_count_offset);
