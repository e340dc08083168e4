/* SPDX-License-Identifier: Apache-2.0
 * What tests of kept intents share: one core, one lane, and asking for orders. */
#ifndef SUPPORT_DEFERRAL_H
#define SUPPORT_DEFERRAL_H

#include "support.h"

extern ltp_core *core;
extern ltp_lane *lane;
extern const ltp_deferral_options usual;

ltp_core_options deferring(const char *directory, const ltp_deferral_options *deferral);
void open_deferring(const char *directory, const ltp_deferral_options *deferral);
void end_deferring(void);
ltp_verdict ask_keeping(ltp_route_request asked, const char *payload, ltp_kept *kept);
ltp_verdict order(uint64_t frame, uint64_t session, const char *payload, ltp_kept *kept);
void wait_kept(ltp_kept kept);
ltp_deferral_status deferral_status(void);
/* Until something is due. */
int32_t begin_next(ltp_handout *handout, char *payload, size_t capacity);

#endif
