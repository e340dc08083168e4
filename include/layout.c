/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the contract a C target of the Swift package, so that a change of a header rebuilds what depends on it, and asserts
 * every order of fields that Swift relies on. Offsets alone come from ltp_layout.h and may change. */
#include "ltp.h"
#include "ltp_trace.h"
#include "ltp_deferral.h"
#include "ltp_layout.h"

/* RouteRequestView.mustBeZero reads half a word. */
LTP_STATIC_ASSERT(LTP_END_route_request_reserved == LTP_AT_route_request_reserved + 4, request_reserved_half);

/* A record tells its kind before anyone knows which structure it is: Sources/LTPRecords/RecordView.swift. */
#define LTP_KIND_FIRST(record) LTP_STATIC_ASSERT(offsetof(ltp_##record, kind) == 0, record##_kind)
#define LTP_HEADER_FIRST(record) LTP_STATIC_ASSERT(offsetof(ltp_##record, header) == 0, record##_header)
LTP_KIND_FIRST(decision_record);
LTP_KIND_FIRST(replay_record);
LTP_KIND_FIRST(observed_record);
LTP_KIND_FIRST(unrecorded_record);
LTP_KIND_FIRST(hello_record);
LTP_KIND_FIRST(time_record);
LTP_KIND_FIRST(voided_record);
LTP_KIND_FIRST(tenant_record);
LTP_KIND_FIRST(deferral_intent);
LTP_KIND_FIRST(deferral_step);
LTP_KIND_FIRST(deferral_mark);
LTP_KIND_FIRST(control_header);
LTP_HEADER_FIRST(opened_record);
LTP_HEADER_FIRST(segment_record);
LTP_HEADER_FIRST(transition_record);
LTP_HEADER_FIRST(policy_record);
LTP_HEADER_FIRST(text_record);
LTP_HEADER_FIRST(counts_record);
LTP_HEADER_FIRST(domains_record);
LTP_HEADER_FIRST(sealed_record);
LTP_HEADER_FIRST(closed_record);

/* A decision record is written as four words of 8 bytes, and its first word is read as one:
 * Sources/LTPRecords/DecisionWord.swift. Each field of a word lies in it whole. */
LTP_STATIC_ASSERT(LTP_END_decision_record_outcome <= 8, decision_record_outcome_in_first_word);
LTP_STATIC_ASSERT(LTP_END_decision_record_inputs <= 8, decision_record_inputs_in_first_word);
/* Class, domain, priority and cohort are copied from the request as they lie side by side. */
LTP_STATIC_ASSERT(LTP_AT_decision_record_action_class == 4 && LTP_AT_decision_record_domain == 5 &&
                    LTP_AT_decision_record_priority == 6 && LTP_AT_decision_record_cohort == 7 &&
                    LTP_END_decision_record_cohort == 8,
                  decision_record_attributes);
LTP_STATIC_ASSERT(LTP_AT_route_request_domain == LTP_AT_route_request_action_class + 1 &&
                    LTP_AT_route_request_priority == LTP_AT_route_request_action_class + 2 &&
                    LTP_AT_route_request_cohort == LTP_AT_route_request_action_class + 3,
                  request_attributes);
/* The second word is the time with, in its upper half as in a verdict's lower word, retry_after. */
LTP_STATIC_ASSERT(LTP_AT_decision_record_time_us % 8 == 0, decision_record_second_word);
LTP_STATIC_ASSERT(LTP_AT_decision_record_retry_and_shadow - LTP_AT_decision_record_time_us ==
                    LTP_AT_verdict_retry_after_ms - LTP_AT_verdict_epoch,
                  decision_record_retry_after_time);
LTP_STATIC_ASSERT(2u * LTP_RETRY_AFTER_MS_MAX <= LTP_DECISION_RETRY_MASK, decision_record_retry_fits);
LTP_STATIC_ASSERT(LTP_AT_decision_record_frame_id % 8 == 0, decision_record_frame_word);
LTP_STATIC_ASSERT(LTP_AT_decision_record_session_id % 8 == 0, decision_record_session_word);

/* What decisions are counted by is one word of 8 bytes: Sources/LTPRecords/SegmentCounts.swift. */
LTP_STATIC_ASSERT(LTP_AT_counts_entry_action_class == 8, counts_entry_second_word);
LTP_STATIC_ASSERT(LTP_AT_counts_entry_domain == 9 && LTP_END_counts_entry_state <= 16 && LTP_END_counts_entry_outcome <= 16 && LTP_END_counts_entry_gate <= 16,
                  counts_entry_key_in_second_word);

/* A verdict is two words of 8 bytes: Sources/LTPAdmission/Verdict.swift. */
LTP_STATIC_ASSERT(LTP_END_verdict_epoch <= 8 && LTP_END_verdict_retry_after_ms <= 8, verdict_lower_word);
LTP_STATIC_ASSERT(LTP_AT_verdict_epoch == 0, verdict_epoch_first);
LTP_STATIC_ASSERT(LTP_AT_verdict_policy_generation >= 8 && LTP_AT_verdict_verdict >= 8, verdict_upper_word);

/* What a hash covers ends where the hash begins. */
LTP_STATIC_ASSERT(LTP_AT_block_header_block_hash == LTP_BLOCK_HASHED_BYTES, block_header_hashed);
LTP_STATIC_ASSERT(LTP_END_block_header_block_hash == LTP_BLOCK_HEADER_BYTES, block_header_hash_last);
LTP_STATIC_ASSERT(LTP_END_watermark_hash == sizeof(ltp_watermark), watermark_hash_last);

/* Words of a page that change are read and written whole: Sources/LTPAdmission/OrientationPage.swift. */
LTP_STATIC_ASSERT(offsetof(ltp_page_layout, magic) % 8 == 0, page_magic_word);
LTP_STATIC_ASSERT(offsetof(ltp_page_layout, size_bytes) == LTP_END_page_layout_version, page_version_and_size);
LTP_STATIC_ASSERT(offsetof(ltp_page_layout, version) % 8 == 0, page_version_word);
LTP_STATIC_ASSERT(offsetof(ltp_page_layout, boot_id) % 8 == 0, page_boot_words);
LTP_STATIC_ASSERT(offsetof(ltp_page_layout, word) % 8 == 0, page_word_word);
LTP_STATIC_ASSERT(offsetof(ltp_page_layout, entries) % 8 == 0, page_entry_words);
LTP_STATIC_ASSERT(LTP_AT_page_entry_word == 0, page_entry_word_first);
LTP_STATIC_ASSERT(LTP_AT_page_entry_lease_until_ns % 8 == 0, page_entry_lease_until_word);
LTP_STATIC_ASSERT(LTP_AT_page_entry_lease_ns % 8 == 0, page_entry_lease_word);
