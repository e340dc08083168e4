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
#include "ltp_deferral.h"

#define LTP_FIELD(structure, field)                                         \
  enum {                                                                    \
    LTP_AT_##structure##_##field = offsetof(ltp_##structure, field),        \
    LTP_END_##structure##_##field =                                         \
      offsetof(ltp_##structure, field) + sizeof(((ltp_##structure *)0)->field) \
  }

/* ---- Frames ------------------------------------------------------------------------------------------- */

LTP_FIELD(route_request, action_class);
LTP_FIELD(route_request, priority);
LTP_FIELD(route_request, cohort);
LTP_FIELD(route_request, intent_epoch);
LTP_FIELD(route_request, incarnation);
LTP_FIELD(route_request, domain);
LTP_FIELD(route_request, reserved);

/* ---- The trace ---------------------------------------------------------------------------------------- */

LTP_FIELD(block_header, magic);
LTP_FIELD(block_header, version);
LTP_FIELD(block_header, hash_id);
LTP_FIELD(block_header, header_bytes);
LTP_FIELD(block_header, lane_id);
LTP_FIELD(block_header, log_id);
LTP_FIELD(block_header, block_index);
LTP_FIELD(block_header, segment_index);
LTP_FIELD(block_header, slot_count);
LTP_FIELD(block_header, size_bytes);
LTP_FIELD(block_header, orientation_word);
LTP_FIELD(block_header, durable_blocks);
LTP_FIELD(block_header, reserved);
LTP_FIELD(block_header, previous_hash);
LTP_FIELD(block_header, body_hash);
LTP_FIELD(block_header, block_hash);

LTP_FIELD(decision_record, kind);
LTP_FIELD(decision_record, outcome);
LTP_FIELD(decision_record, inputs);
LTP_FIELD(decision_record, action_class);
LTP_FIELD(decision_record, domain);
LTP_FIELD(decision_record, priority);
LTP_FIELD(decision_record, cohort);
LTP_FIELD(decision_record, time_us);
LTP_FIELD(decision_record, retry_and_shadow);
LTP_FIELD(decision_record, frame_id);
LTP_FIELD(decision_record, session_id);

LTP_FIELD(replay_record, reserved);
LTP_FIELD(observed_record, reserved);
LTP_FIELD(unrecorded_record, reserved);
LTP_FIELD(unrecorded_record, reserved_2);
LTP_FIELD(unrecorded_record, reserved_3);
LTP_FIELD(tenant_record, reserved);
LTP_FIELD(tenant_record, reserved_2);
LTP_FIELD(tenant_record, reserved_3);
LTP_FIELD(time_record, reserved);
LTP_FIELD(voided_record, reserved);
LTP_FIELD(voided_record, reserved_2);
LTP_FIELD(voided_record, reserved_3);
LTP_FIELD(time_record, reserved_2);
LTP_FIELD(kept_record, frame_id);
LTP_FIELD(intent_record, reserved);
LTP_FIELD(intent_record, reserved_2);
LTP_FIELD(intent_record, key);
LTP_FIELD(intent_record, content_hash);
LTP_FIELD(step_record, reserved);
LTP_FIELD(step_record, reserved_2);
LTP_FIELD(deferral_record, log_id);
LTP_FIELD(deferral_record, reserved);
LTP_FIELD(deferral_record, reserved_2);

LTP_FIELD(control_header, reserved);
LTP_FIELD(control_header, slot_count);
LTP_FIELD(opened_record, reserved);
LTP_FIELD(segment_record, reserved);
LTP_FIELD(transition_record, flags);
LTP_FIELD(transition_record, evidence);
LTP_FIELD(transition_record, reserved_2);
LTP_FIELD(transition_record, text);
LTP_FIELD(policy_record, digest);
LTP_FIELD(policy_record, reserved);
LTP_FIELD(policy_record, policy);
LTP_FIELD(text_record, text);
LTP_FIELD(counts_entry, action_class);
LTP_FIELD(counts_entry, domain);
LTP_FIELD(counts_entry, state);
LTP_FIELD(counts_entry, outcome);
LTP_FIELD(counts_entry, gate);
LTP_FIELD(counts_record, reserved);
LTP_FIELD(domains_record, reserved);
LTP_FIELD(domains_entry, reserved);
LTP_FIELD(domains_record, entries);
LTP_FIELD(counts_record, entries);
LTP_FIELD(sealed_record, reserved);
LTP_FIELD(closed_record, reserved);

LTP_FIELD(watermark, log_id);
LTP_FIELD(watermark, hash);

/* ---- The contract -------------------------------------------------------------------------------------- */

LTP_FIELD(verdict, epoch);
LTP_FIELD(verdict, retry_after_ms);
LTP_FIELD(verdict, policy_generation);
LTP_FIELD(verdict, verdict);
LTP_FIELD(verdict, reason);
LTP_FIELD(verdict, state);
LTP_FIELD(verdict, commitment);

LTP_FIELD(transition, evidence);
LTP_FIELD(transition, text);

LTP_FIELD(policy_class, name);
LTP_FIELD(policy, reserved);
LTP_FIELD(policy, priority_threshold);
LTP_FIELD(policy, domains);
LTP_FIELD(policy, classes);
LTP_FIELD(policy, rules);
LTP_FIELD(policy, limits);
LTP_FIELD(policy, signals);
LTP_FIELD(policy, reserved_2);
LTP_FIELD(policy_limits, classes);

LTP_FIELD(page_layout, magic);
LTP_FIELD(page_layout, version);
LTP_FIELD(page_layout, boot_id);
LTP_FIELD(page_layout, word);
LTP_FIELD(page_layout, changes);
LTP_FIELD(page_layout, entries);
LTP_FIELD(page_entry, word);
LTP_FIELD(page_entry, evidence);
LTP_FIELD(page_entry, text);
LTP_FIELD(page_entry, lease_until_ns);
LTP_FIELD(page_entry, lease_ns);

/* ---- The deferral log --------------------------------------------------------------------------------- */

LTP_FIELD(deferral_intent, key);
LTP_FIELD(deferral_intent, content_hash);
LTP_FIELD(deferral_mark, trace_log_id);

#endif /* LTP_LAYOUT_H */
