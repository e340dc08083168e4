/* SPDX-License-Identifier: Apache-2.0
 * The keyed hash behind continuity tokens, by the processor's AES instructions where it has them. */
#include "ltp_system.h"

#include <string.h>

#if defined(__x86_64__)
#include <wmmintrin.h>

#define WITH_AES __attribute__((target("aes,sse2")))

/* One step of the key schedule (FIPS 197, 5.2); the instruction takes its constant only as an immediate. */
#define NEXT_ROUND_KEY(index, constant)                                                        \
  do {                                                                                         \
    __m128i word = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, constant), 0xFF);          \
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));                                          \
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));                                          \
    key = _mm_xor_si128(key, word);                                                            \
    _mm_store_si128((__m128i *)to->round_keys[index], key);                                    \
  } while (0)

WITH_AES static void expand(ltp_system_mac_key *to, uint64_t low, uint64_t high) {
  __m128i key = _mm_set_epi64x((long long)high, (long long)low);
  _mm_store_si128((__m128i *)to->round_keys[0], key);
  NEXT_ROUND_KEY(1, 0x01);
  NEXT_ROUND_KEY(2, 0x02);
  NEXT_ROUND_KEY(3, 0x04);
  NEXT_ROUND_KEY(4, 0x08);
  NEXT_ROUND_KEY(5, 0x10);
  NEXT_ROUND_KEY(6, 0x20);
  NEXT_ROUND_KEY(7, 0x40);
  NEXT_ROUND_KEY(8, 0x80);
  NEXT_ROUND_KEY(9, 0x1B);
  NEXT_ROUND_KEY(10, 0x36);
}

void ltp_system_mac_init(ltp_system_mac_key *key, uint64_t low, uint64_t high) {
  memset(key, 0, sizeof *key);
  key->low = low;
  key->high = high;
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("aes")) return;
  expand(key, low, high);
  key->has_aes = 1;
}

WITH_AES uint64_t ltp_system_mac_aes(
  const ltp_system_mac_key *key, uint64_t mask_low, uint64_t mask_high, uint64_t low, uint64_t high) {
  const __m128i *round = (const __m128i *)key->round_keys;
  __m128i block = _mm_set_epi64x((long long)(high ^ mask_high), (long long)(low ^ mask_low));
  block = _mm_xor_si128(block, round[0]);
  for (int index = 1; index < 10; index++) block = _mm_aesenc_si128(block, round[index]);
  return (uint64_t)_mm_cvtsi128_si64(_mm_aesenclast_si128(block, round[10]));
}

#else

void ltp_system_mac_init(ltp_system_mac_key *key, uint64_t low, uint64_t high) {
  memset(key, 0, sizeof *key);
  key->low = low;
  key->high = high;
}

uint64_t ltp_system_mac_aes(
  const ltp_system_mac_key *key, uint64_t mask_low, uint64_t mask_high, uint64_t low, uint64_t high) {
  (void)key, (void)mask_low, (void)mask_high, (void)low, (void)high;
  return 0;
}

#endif
