/* SPDX-License-Identifier: Apache-2.0
 *
 * support_page.h: pages, transitions and followers for the tests of orientation pages.
 */
#ifndef LTP_SUPPORT_PAGE_H
#define LTP_SUPPORT_PAGE_H

#include "support.h"

/* A path for a new page, in a directory of its own. At most four a test. */
const char *page_path(void);
/* To this state because of CPU_PRESSURE, with evidence and a text. */
ltp_transition transition(uint8_t state);
ltp_page *open_page(const char *path, uint64_t lease);
/* Publishes this state; returns the page's epoch. */
uint32_t say(ltp_page *page, uint8_t state);
/* A small core that follows the page. */
ltp_core *open_follower(const char *path);
/* Asks for this class, in session 1. */
ltp_verdict ask(ltp_lane *lane, uint8_t action_class);
ltp_page_reading reading_of(ltp_page *page);

#endif
