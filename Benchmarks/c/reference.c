/* SPDX-License-Identifier: Apache-2.0
 * See reference.h. Plain C as one would write it for speed; it shares no code with the library but ltp.h, ltp_trace.h
 * and the built-in policy's content. */
#define _GNU_SOURCE
#include "reference.h"

#include "ltp_trace.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define LIVE 0x6576696C2D666572u
#define BLOCK_BYTES (256u << 10)
#define BLOCK_COUNT 16u
#define SLOTS ((BLOCK_BYTES - LTP_BLOCK_HEADER_BYTES) / LTP_SLOT_BYTES)
#define OUTCOMES 192u

typedef struct {
  uint8_t verdict, reason, below, least, needs_token;
  uint32_t retry;
} rule;

/* What publishers and the clock write. */
typedef struct {
  _Alignas(64) _Atomic uint64_t word;
  _Atomic uint64_t clock;
} shared_line;

struct reference_lane {
  uint64_t live;
  uint8_t *cursor, *end;
  shared_line *line;
  uint64_t word, clock;
  _Alignas(16) uint8_t round_keys[11][16], mask[16];
  uint32_t time_us, generation, epoch;
  uint64_t *counters;
  uint8_t *ring;
  uint64_t block;
  rule rules[LTP_CLASS_COUNT + 1];
  _Alignas(64) _Atomic uint64_t published;
  _Alignas(64) _Atomic uint64_t released;
  _Atomic int stops;
  pthread_t hasher;
};

/* The token is 56 bits of one AES-128 block, and the epoch's low byte; see Sources/LTPAdmission/Continuity.swift. */
#if defined(__x86_64__)
#include <wmmintrin.h>
#define WITH_AES __attribute__((target("aes,sse2")))

WITH_AES static void expand_key(reference_lane *lane) {
  __m128i key = _mm_set_epi64x(11, 7), *to = (__m128i *)lane->round_keys;
  to[0] = key;
#define ROUND_KEY(index, constant)                                             \
  do {                                                                         \
    __m128i word = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, constant), 0xFF); \
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));                          \
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));                          \
    to[index] = key = _mm_xor_si128(key, word);                                \
  } while (0)
  ROUND_KEY(1, 1);
  ROUND_KEY(2, 2);
  ROUND_KEY(3, 4);
  ROUND_KEY(4, 8);
  ROUND_KEY(5, 16);
  ROUND_KEY(6, 32);
  ROUND_KEY(7, 64);
  ROUND_KEY(8, 128);
  ROUND_KEY(9, 27);
  ROUND_KEY(10, 54);
}

WITH_AES static uint64_t token(const reference_lane *lane, uint64_t session, uint32_t incarnation) {
  const __m128i *round = (const __m128i *)lane->round_keys;
  __m128i block = _mm_xor_si128(_mm_set_epi64x(incarnation, (long long)session), *(const __m128i *)lane->mask);
  block = _mm_xor_si128(block, round[0]);
  for (int index = 1; index < 10; index++) block = _mm_aesenc_si128(block, round[index]);
  return (uint64_t)_mm_cvtsi128_si64(_mm_aesenclast_si128(block, round[10])) << 8 | (lane->epoch & 0xFF);
}
#else
#error "the reference is written for x86-64"
#endif

uint64_t reference_token(const reference_lane *lane, uint64_t session_id, uint32_t incarnation) {
  return token(lane, session_id, incarnation);
}

uint32_t reference_epoch(const reference_lane *lane) { return lane->epoch; }

static int next_block(reference_lane *lane) {
  while (lane->block - atomic_load_explicit(&lane->released, memory_order_acquire) >= BLOCK_COUNT) {
  }
  lane->cursor = lane->ring + lane->block % BLOCK_COUNT * BLOCK_BYTES + LTP_BLOCK_HEADER_BYTES;
  lane->end = lane->cursor + SLOTS * LTP_SLOT_BYTES;
  lane->block++;
  return 1;
}

__attribute__((noinline)) static int settle(reference_lane *lane) {
  lane->word = atomic_load_explicit(&lane->line->word, memory_order_acquire);
  lane->clock = atomic_load_explicit(&lane->line->clock, memory_order_acquire);
  return lane->cursor != lane->end || next_block(lane);
}

ltp_verdict reference_admit(reference_lane *lane, const void *frame, size_t available) {
  ltp_verdict verdict = {.reason = LTP_REASON_TRACE_BACKPRESSURE};
  if (lane == NULL || ((uintptr_t)lane & 4095) != 0 || lane->live != LIVE) return verdict;
  if (atomic_load_explicit(&lane->line->word, memory_order_acquire) != lane->word ||
      atomic_load_explicit(&lane->line->clock, memory_order_relaxed) != lane->clock || lane->cursor == lane->end) {
    if (!settle(lane)) return verdict;
  }
  ltp_route_request request;
  if (frame == NULL || available < sizeof request) return verdict;
  memcpy(&request, frame, sizeof request);
  uint32_t unused;
  memcpy(&unused, request.reserved, sizeof unused);
  int has_deadline = (request.header.flags & LTP_REQUEST_HAS_DEADLINE) != 0;
  /* Replays and goals go another way in the library too; the benchmark sends none. */
  if (request.header.magic != LTP_FRAME_MAGIC || request.header.version != LTP_PROTOCOL_VERSION ||
      request.header.type != LTP_FRAME_ROUTE_REQUEST || request.header.size_bytes != sizeof request ||
      (request.header.flags & ~LTP_REQUEST_HAS_DEADLINE) != 0 || (!has_deadline && request.deadline_ns != 0) ||
      unused != 0)
    return verdict;

  uint32_t column = request.action_class < LTP_CLASS_COUNT ? request.action_class : LTP_CLASS_COUNT;
  const rule *rule = &lane->rules[column];
  uint16_t inputs = LTP_CONTINUITY_NOT_ASKED;
  uint8_t answer = rule->verdict, reason = rule->reason;
  if (answer != LTP_VERDICT_DENY && request.priority < rule->least)
    answer = rule->below, reason = LTP_REASON_PRIORITY_BELOW_THRESHOLD;
  if (rule->needs_token) {
    inputs = LTP_CONTINUITY_VALID;
    if (token(lane, request.session_id, request.incarnation) != request.continuity_token ||
        request.intent_epoch != lane->epoch) {
      /* One domain, and no epoch before: a wrong token is a forged one. */
      inputs = request.continuity_token == 0 ? LTP_CONTINUITY_NONE : LTP_CONTINUITY_FORGED;
      if (rule->verdict != LTP_VERDICT_DENY)
        answer = LTP_VERDICT_DENY,
        reason = request.continuity_token == 0 ? LTP_REASON_REHANDSHAKE_REQUIRED : LTP_REASON_CONTINUITY_FORGED;
    }
  }
  if (has_deadline && lane->clock >= request.deadline_ns) {
    inputs |= LTP_INPUT_DEADLINE_EXCEEDED;
    if (rule->verdict != LTP_VERDICT_DENY) answer = LTP_VERDICT_DENY, reason = LTP_REASON_DEADLINE_EXCEEDED;
  }
  uint64_t fraction = request.session_id * 0x9E3779B97F4A7C15u >> 32;
  uint32_t retry = answer == LTP_VERDICT_EXECUTE ? 0 : (uint32_t)(rule->retry + (rule->retry * fraction >> 32));

  __builtin_prefetch(lane->cursor + 1024, 1, 3);
  ltp_decision_record record = {
    .kind = LTP_RECORD_DECISION, .outcome = (uint8_t)(answer << LTP_OUTCOME_VERDICT_SHIFT | reason), .inputs = inputs,
    .action_class = request.action_class, .domain = request.domain, .priority = request.priority, .cohort = request.cohort,
    .time_us = lane->time_us, .retry_and_shadow = retry, .frame_id = request.frame_id, .session_id = request.session_id};
  memcpy(lane->cursor, &record, sizeof record);
  lane->cursor += sizeof record;
  lane->counters[column * OUTCOMES + record.outcome]++;
  atomic_store_explicit(
    &lane->published, atomic_load_explicit(&lane->published, memory_order_relaxed) + 1, memory_order_release);
  verdict = (ltp_verdict){
    .epoch = (uint32_t)(lane->word >> 32), .retry_after_ms = retry, .policy_generation = lane->generation,
    .verdict = answer, .reason = reason, .state = lane->word & 0xF,
    .commitment = answer == LTP_VERDICT_DEFER ? LTP_COMMITMENT_WHEN_STABLE : LTP_COMMITMENT_NONE};
  return verdict;
}

/* Hashes whole blocks as they come, like the writer. */
static void *hash_blocks(void *argument) {
  reference_lane *lane = argument;
  unsigned char hash[SHA256_DIGEST_LENGTH];
  for (uint64_t block = 0; !atomic_load(&lane->stops);) {
    if (atomic_load_explicit(&lane->published, memory_order_acquire) < (block + 1) * SLOTS) {
      nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
      continue;
    }
    uint8_t *memory = lane->ring + block % BLOCK_COUNT * BLOCK_BYTES;
    SHA256(memory + LTP_BLOCK_HEADER_BYTES, BLOCK_BYTES - LTP_BLOCK_HEADER_BYTES, hash);
    memcpy(memory, hash, sizeof hash);
    atomic_store_explicit(&lane->released, ++block, memory_order_release);
  }
  return NULL;
}

void reference_settle(reference_lane *lane) {
  while (atomic_load(&lane->released) < atomic_load(&lane->published) / SLOTS)
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

static void *pages(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) abort();
  return memory;
}

reference_lane *reference_open(uint8_t state) {
  reference_lane *lane = pages(sizeof *lane);
  static ltp_policy policy;
  if (ltp_policy_default(&policy) != LTP_OK) abort();
  lane->line = pages(sizeof *lane->line);
  atomic_store(&lane->line->word, state | (uint64_t)2 << 32);
  lane->ring = pages(BLOCK_COUNT * BLOCK_BYTES);
  memset(lane->ring, 1, BLOCK_COUNT * BLOCK_BYTES);
  lane->counters = pages((LTP_CLASS_COUNT + 1) * OUTCOMES * sizeof *lane->counters);
  if (!__builtin_cpu_supports("aes")) abort();
  expand_key(lane);
  memset(lane->mask, 0x5A, sizeof lane->mask);
  lane->generation = lane->epoch = 1;
  for (int index = 0; index < LTP_CLASS_COUNT; index++) {
    const ltp_policy_rule *from = &policy.rules[state][index];
    uint32_t attributes = policy.classes[index].attributes;
    rule *to = &lane->rules[index];
    if (policy.classes[index].name[0] == 0) {
      to->reason = LTP_REASON_UNKNOWN_ACTION_CLASS;
      continue;
    }
    to->verdict = from->verdict, to->reason = from->reason, to->retry = from->retry_after_ms;
    to->below = from->flags & LTP_RULE_DEFER_WHEN_BELOW ? LTP_VERDICT_DEFER : LTP_VERDICT_DENY;
    to->least = from->priority_min;
    if (!(attributes & LTP_CLASS_EXEMPT) && policy.priority_threshold[state] > to->least)
      to->least = policy.priority_threshold[state];
    to->needs_token = (attributes & LTP_CLASS_REQUIRES_CONTINUITY) && !(from->flags & LTP_RULE_WAIVE_CONTINUITY);
  }
  lane->rules[LTP_CLASS_COUNT].reason = LTP_REASON_UNKNOWN_ACTION_CLASS;
  next_block(lane);
  settle(lane);
  lane->live = LIVE;
  if (pthread_create(&lane->hasher, NULL, hash_blocks, lane) != 0) abort();
  return lane;
}

void reference_close(reference_lane *lane) {
  atomic_store(&lane->stops, 1);
  pthread_join(lane->hasher, NULL);
  lane->live = 0;
}
