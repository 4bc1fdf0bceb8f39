// AES-256 in counter mode into the caller's own memory: what Node can do only with a copy and a new object per key.
//
// Source: FIPS 197; Intel, "AES New Instructions Set" white paper (the key expansion). Constant time by construction: there
// is no table, no branch and no address that depends on key or output. Without these instructions: unsupported.
#include "addon.h"

#include <string.h>

#define LARGEST_OUTPUT_BYTES (1 << 24)
#define ROUNDS 14

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define AESNI __attribute__((target("aes,sse4.1")))
#define VAES __attribute__((target("vaes,avx512f,avx512bw")))
#if defined(__has_attribute)
#if __has_attribute(zero_call_used_regs)
// The round keys are still in the vector registers when the work is done.
#define ZERO_REGISTERS __attribute__((zero_call_used_regs("used")))
#endif
#endif
#ifndef ZERO_REGISTERS
#define ZERO_REGISTERS
#endif

// Unrolled, the blocks stay in registers: seven times as fast for the wide loop, and none of them lies on the stack.
#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

typedef unsigned __int128 u128;

struct schedule {
  __m128i keys[ROUNDS + 1];
};

AESNI static inline __m128i expand(__m128i key, __m128i assist) {
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, assist);
}

// FIPS 197, 5.2 for Nk = 8: even round keys take RotWord, SubWord and Rcon, odd ones SubWord alone.
#define EXPAND_EVEN(i, rcon)                                                                                          \
  keys[i] = expand(keys[(i) - 2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(keys[(i) - 1], rcon), 0xff))
#define EXPAND_ODD(i) \
  keys[i] = expand(keys[(i) - 2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(keys[(i) - 1], 0), 0xaa))

AESNI static void expand_key(const uint8_t key[32], __m128i keys[ROUNDS + 1]) {
  keys[0] = _mm_loadu_si128((const __m128i *)key);
  keys[1] = _mm_loadu_si128((const __m128i *)(key + 16));
  EXPAND_EVEN(2, 0x01);
  EXPAND_ODD(3);
  EXPAND_EVEN(4, 0x02);
  EXPAND_ODD(5);
  EXPAND_EVEN(6, 0x04);
  EXPAND_ODD(7);
  EXPAND_EVEN(8, 0x08);
  EXPAND_ODD(9);
  EXPAND_EVEN(10, 0x10);
  EXPAND_ODD(11);
  EXPAND_EVEN(12, 0x20);
  EXPAND_ODD(13);
  EXPAND_EVEN(14, 0x40);
}

AESNI static inline __m128i counter_block(u128 counter, bool big_endian) {
  const uint64_t low = (uint64_t)counter, high = (uint64_t)(counter >> 64);
  if (big_endian)
    return _mm_set_epi64x((long long)__builtin_bswap64(low), (long long)__builtin_bswap64(high));
  return _mm_set_epi64x((long long)high, (long long)low);
}

// Eight blocks at once keep both AES units busy while each round waits four cycles for the one before it.
AESNI static inline void eight_blocks(const __m128i keys[ROUNDS + 1], u128 counter, bool big_endian, uint8_t *out) {
  __m128i block[8];
  UNROLLED for (int i = 0; i < 8; i++) block[i] = _mm_xor_si128(counter_block(counter + (u128)i, big_endian), keys[0]);
  UNROLLED for (int round = 1; round < ROUNDS; round++)
    UNROLLED for (int i = 0; i < 8; i++) block[i] = _mm_aesenc_si128(block[i], keys[round]);
  UNROLLED for (int i = 0; i < 8; i++)
    _mm_storeu_si128((__m128i *)out + i, _mm_aesenclast_si128(block[i], keys[ROUNDS]));
}

// The whole of `out`, the last block cut off where it ends. Returns the first counter not used.
AESNI ZERO_REGISTERS __attribute__((noinline)) static u128 key_stream(const __m128i keys[ROUNDS + 1], u128 counter,
                                                                       bool big_endian, uint8_t *out, size_t length) {
  for (; length >= 128; length -= 128, out += 128, counter += 8) eight_blocks(keys, counter, big_endian, out);
  if (length == 0) return counter;
  uint8_t last[128];
  eight_blocks(keys, counter, big_endian, last);
  memcpy(out, last, length);
  explicit_bzero(last, sizeof last);
  return counter + (length + 15) / 16;
}

#define WIDE_LENGTH 512

// GCC 12 leaves these sixteen out of its own zeroing.
#define ZERO(n) "vpxorq %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"
VAES static inline void zero_upper_registers(void) {
  __asm__ volatile(ZERO(16) ZERO(17) ZERO(18) ZERO(19) ZERO(20) ZERO(21) ZERO(22) ZERO(23) ZERO(24) ZERO(25) ZERO(26)
                       ZERO(27) ZERO(28) ZERO(29) ZERO(30) ZERO(31)::
                           : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",
                             "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
}

// Thirty-two blocks at once, four to a register. Returns how many bytes it made: the whole multiples of 512 bytes that
// come before the low half of the counter overflows, which the narrow loop handles.
VAES ZERO_REGISTERS __attribute__((noinline)) static size_t wide_key_stream(const __m128i keys[ROUNDS + 1], u128 counter,
                                                                           bool big_endian, uint8_t *out,
                                                                           size_t length) {
  const uint64_t left_in_low_half = UINT64_MAX - (uint64_t)counter;
  const size_t batches = length / WIDE_LENGTH;
  if (left_in_low_half < batches * 32) return 0;

  __m512i key[ROUNDS + 1];
  UNROLLED for (int round = 0; round <= ROUNDS; round++) key[round] = _mm512_broadcast_i32x4(keys[round]);
  const __m512i four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
  const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  __m512i next = _mm512_add_epi64(
      _mm512_broadcast_i32x4(_mm_set_epi64x((long long)(uint64_t)(counter >> 64), (long long)(uint64_t)counter)),
      _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0));

  for (size_t batch = 0; batch < batches; batch++, out += WIDE_LENGTH) {
    __m512i block[8];
    UNROLLED for (int i = 0; i < 8; i++) {
      block[i] = _mm512_xor_si512(big_endian ? _mm512_shuffle_epi8(next, swap) : next, key[0]);
      next = _mm512_add_epi64(next, four);
    }
    UNROLLED for (int round = 1; round < ROUNDS; round++)
      UNROLLED for (int i = 0; i < 8; i++) block[i] = _mm512_aesenc_epi128(block[i], key[round]);
    UNROLLED for (int i = 0; i < 8; i++) _mm512_storeu_si512(out + 64 * i, _mm512_aesenclast_epi128(block[i], key[ROUNDS]));
  }
  zero_upper_registers();
  return batches * WIDE_LENGTH;
}

static u128 read_counter(const uint8_t bytes[16], bool big_endian) {
  u128 counter = 0;
  for (int i = 0; i < 16; i++) counter = counter << 8 | bytes[big_endian ? i : 15 - i];
  return counter;
}

static void write_counter(u128 counter, uint8_t bytes[16], bool big_endian) {
  for (int i = 0; i < 16; i++) bytes[big_endian ? 15 - i : i] = (uint8_t)(counter >> (8 * i));
}

// VAES by hand: Clang 14 does not know it by name. Whether the system keeps the wide registers is the compiler's to ask.
void ask_aes(struct addon *addon) {
  unsigned a, b, c, d;
  __builtin_cpu_init();
  addon->has_aes = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AES) != 0 && (c & bit_SSE4_1) != 0;
  addon->has_wide_aes = addon->has_aes && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VAES) != 0;
}

static const char *encrypt_counters(const struct addon *addon, const uint8_t key[32], uint8_t counter_bytes[16],
                                    bool big_endian, uint8_t *out, size_t length) {
  if (!addon->has_aes) return "this CPU has no AES instructions";
  struct schedule schedule;
  expand_key(key, schedule.keys);
  u128 counter = read_counter(counter_bytes, big_endian);
  size_t made = 0;
  if (addon->has_wide_aes && length >= WIDE_LENGTH)
    made = wide_key_stream(schedule.keys, counter, big_endian, out, length);
  counter = key_stream(schedule.keys, counter + made / 16, big_endian, out + made, length - made);
  write_counter(counter, counter_bytes, big_endian);
  explicit_bzero(&schedule, sizeof schedule);
  return NULL;
}

#else

void ask_aes(struct addon *addon) { (void)addon; }

static const char *encrypt_counters(const struct addon *addon, const uint8_t key[32], uint8_t counter_bytes[16],
                                    bool big_endian, uint8_t *out, size_t length) {
  (void)addon, (void)key, (void)counter_bytes, (void)big_endian, (void)out, (void)length;
  return "AES by instruction is written for x86-64 only";
}

#endif

napi_value aes256_ctr(napi_env env, napi_callback_info info) {
  napi_value values[4];
  uint8_t *key, *counter, *out;
  size_t key_length, counter_length, out_length;
  bool big_endian;
  const struct addon *addon = arguments(env, info, values, 4);
  if (!bytes_argument(env, values[0], 32, 32, &key, &key_length)) return NULL;
  if (!bytes_argument(env, values[1], 16, 16, &counter, &counter_length)) return NULL;
  if (!boolean_argument(env, values[2], &big_endian)) return NULL;
  if (!bytes_argument(env, values[3], 1, LARGEST_OUTPUT_BYTES, &out, &out_length)) return NULL;
  const char *why = encrypt_counters(addon, key, counter, big_endian, out, out_length);
  return why == NULL ? NULL : reason(env, "%s", why);
}
