/* SPDX-License-Identifier: Apache-2.0
 *
 * trace_reader.h: an auditor's verifier. Knows ltp_trace.h and SHA-256, and nothing of the library.
 */
#ifndef TRACE_READER_H
#define TRACE_READER_H

#include "ltp_trace.h"

struct trace_reader {
  /* Called for each decision in the order of the log; may be NULL. */
  void (*decision)(void *context, uint32_t lane, uint64_t sequence, const ltp_decision_record *record);
  void *context;
  /* Filled in. */
  uint64_t blocks, decisions, unrecorded, segments, runs;
  char fault[256]; /* where and what, if anything is wrong */
};

/* Reads every segment in the directory. 0: the trace is whole and ends in order; else fault says what is not. */
int trace_read(struct trace_reader *reader, const char *directory);

#endif
