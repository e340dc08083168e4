/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPT_H
#define KEPT_H

#include <stdint.h>

/* Kills a service that keeps and replays intents so many times on one directory, which is empty, and lets the next one through. How many faults there
 * are: what was acknowledged and has no effect, effects that are there twice or out of their session's order. */
int kept_kills(const char *directory, uint32_t storage, uint64_t seed, int count, uint64_t *effects);

/* Opens, keeps intents of four sessions from this one on and carries some out, acknowledging on descriptor, until it is killed or after this many rounds.
 * Returns an exit status: 0 when all went well, 3 when the log took no more. */
int kept_victim_run(const char *directory, uint32_t storage, uint64_t session, int descriptor, int rounds);
/* Opens again, and sends everything again that a file says was acknowledged. Prints what is not known as it was; 0 when nothing is. */
int kept_witness_check(const char *directory, uint32_t storage, int file, int may_be_empty);

#endif
