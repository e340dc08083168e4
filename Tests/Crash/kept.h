/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPT_H
#define KEPT_H

#include <stdint.h>

/* Kills a service that keeps and replays intents so many times on one directory, which is empty, and lets the next one through. How many faults there
 * are: what was acknowledged and has no effect, effects that are there twice or out of their session's order. */
int kept_kills(const char *directory, uint32_t storage, uint64_t seed, int count, uint64_t *effects);

#endif
