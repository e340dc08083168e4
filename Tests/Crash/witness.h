/* SPDX-License-Identifier: Apache-2.0
 *
 * witness.h: the process that decides until it dies, and what it said was durable before that.
 */
#ifndef WITNESS_H
#define WITNESS_H

#include "ltp.h"

#include <stddef.h>

/* What a victim writes to its pipe once the record is durable: up to this frame of this session, at this
 * sequence of its lane. Frames of a session count from 1. */
struct acknowledgement {
  uint64_t session;
  uint64_t frame;
  uint64_t sequence;
};

#define SESSIONS_MAX 4096

/* All acknowledgements for one directory. */
struct witness {
  struct acknowledgement sessions[SESSIONS_MAX];
  int count;
  uint64_t seen[SESSIONS_MAX]; /* frames found in the trace, in order */
  int disorder;
};

/* How long a victim waits for its records before it takes the trace for failed. */
extern uint64_t witness_patience_ns;

ltp_core_options crash_options(const char *directory, uint32_t storage);
/* Opens, decides on two lanes and acknowledges on descriptor, until it is killed or after this many rounds.
 * Returns an exit status: 0 when all went well, 3 when the trace failed and said so. */
int victim_run(const char *directory, uint32_t storage, uint64_t session, int descriptor, int rounds);
/* Reads what a victim acknowledged until the pipe ends. */
void witness_listen(struct witness *witness, int descriptor);
/* Opens and closes the trace in a process of its own. 0, or an exit status. */
int reopen(const char *directory, uint32_t storage);
/* The trace is whole and holds all that was acknowledged. Prints what is wrong; 0 when nothing is. */
int witness_check(struct witness *witness, const char *directory);

#endif
