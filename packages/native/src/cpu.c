// What the CPU itself gives: its cycle counter, RDSEED and RDRAND (arm64: CNTVCT_EL0, RNDRRS and RNDR).
//
// Sources: Intel, "Digital Random Number Generator (DRNG) Software Implementation Guide"; Arm Architecture Reference
// Manual, RNDR and RNDRRS.
#include "addon.h"
#include "words.h"

#include <string.h>
#include <sys/prctl.h>

// Ten failures in a row are "a CPU design or manufacturing fault" (guide, 4.2.1).
#define RANDOM_TRIES 10
// RDSEED runs dry whenever it is asked faster than noise comes in, by any core of the package; the guide sets no number.
// Seen on a Zen 5: a word every 20 tries of 1 µs when nobody else asks. This bounds a word to half a millisecond.
#define SEED_TRIES 500

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

// The 64-bit forms only: on some Zen 5 CPUs the narrower forms of RDSEED return 0 as a success (AMD-SB-7055).
__attribute__((target("rdrnd"))) static bool next_random(uint64_t *word, void *context) {
  (void)context;
  unsigned long long value = 0;
  const int ok = _rdrand64_step(&value);
  *word = value;
  return ok == 1;
}

__attribute__((target("rdseed"))) static bool next_seed(uint64_t *word, void *context) {
  (void)context;
  unsigned long long value = 0;
  const int ok = _rdseed64_step(&value);
  *word = value;
  if (ok != 1) _mm_pause();
  return ok == 1;
}

static bool has_random(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_RDRND) != 0;
}

static bool has_seed(void) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_RDSEED) != 0;
}

// A process may be denied the counter (PR_SET_TSC); reading it would then be a fatal signal.
static bool may_read_cycles(void) {
  int mode;
  return prctl(PR_GET_TSC, &mode) != 0 || mode != PR_TSC_SIGSEGV;
}

static uint64_t cycles(void) { return __rdtsc(); }

#define SEED_NAME "RDSEED"
#define RANDOM_NAME "RDRAND"

#elif defined(__aarch64__)
#include <sys/auxv.h>

#define HWCAP2_RNG_BIT (1UL << 16)

// The registers are written by number, so that an assembler without armv8.5-a knows them. Z is set on failure.
static bool next_random(uint64_t *word, void *context) {
  (void)context;
  uint32_t ok;
  __asm__ volatile("mrs %0, s3_3_c2_c4_0\n\tcset %w1, ne" : "=&r"(*word), "=r"(ok)::"cc", "memory");
  return ok == 1;
}

static bool next_seed(uint64_t *word, void *context) {
  (void)context;
  uint32_t ok;
  __asm__ volatile("mrs %0, s3_3_c2_c4_1\n\tcset %w1, ne" : "=&r"(*word), "=r"(ok)::"cc", "memory");
  if (ok != 1) __asm__ volatile("yield");
  return ok == 1;
}

static bool has_random(void) { return (getauxval(AT_HWCAP2) & HWCAP2_RNG_BIT) != 0; }
static bool has_seed(void) { return has_random(); }
static bool may_read_cycles(void) { return true; }

static uint64_t cycles(void) {
  uint64_t count;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
  return count;
}

#define SEED_NAME "RNDRRS"
#define RANDOM_NAME "RNDR"

#else
#error "the addon knows x86-64 and arm64"
#endif

static const struct word_source SEED = {SEED_NAME, next_seed, NULL, SEED_TRIES};
static const struct word_source RANDOM = {RANDOM_NAME, next_random, NULL, RANDOM_TRIES};

void ask_cpu(struct addon *addon) {
  addon->has_cycle_counter = may_read_cycles();
  addon->has_seed = has_seed();
  addon->has_random = has_random();
}

// Leaves the counter in the first eight bytes of the scratch, in the machine's byte order.
napi_value read_cycles(napi_env env, napi_callback_info info) {
  struct addon *addon = arguments(env, info, NULL, 0);
  if (!addon->has_cycle_counter) return reason(env, "this process may not read the cycle counter (PR_SET_TSC)");
  const uint64_t count = cycles();
  memcpy(addon->scratch, &count, sizeof count);
  // No value: `undefined` is the one answer that costs nothing to make.
  return NULL;
}

static napi_value answer(napi_env env, const char *name, const char *why) {
  return why == NULL ? done(env) : reason(env, "%s %s", name, why);
}

napi_value rdseed(napi_env env, napi_callback_info info) {
  napi_value value;
  int64_t length_bytes;
  struct addon *addon = arguments(env, info, &value, 1);
  if (!integer_argument(env, value, 1, LARGEST_CPU_READ_BYTES, &length_bytes)) return NULL;
  if (!addon->has_seed) return reason(env, "this CPU has no " SEED_NAME);
  return answer(env, SEED_NAME, as_they_come(&SEED, addon->scratch, (size_t)length_bytes));
}

napi_value rdrand(napi_env env, napi_callback_info info) {
  napi_value value;
  int64_t length_bytes;
  struct addon *addon = arguments(env, info, &value, 1);
  if (!integer_argument(env, value, 1, LARGEST_CPU_READ_BYTES, &length_bytes)) return NULL;
  if (!addon->has_random) return reason(env, "this CPU has no " RANDOM_NAME);
  return answer(env, RANDOM_NAME, as_they_come(&RANDOM, addon->scratch, (size_t)length_bytes));
}

// An empty RDSEED is replaced, a stuck one is not: who then trusted the RDRAND of the same CPU would hide the fault.
static napi_value best(napi_env env, const struct word_source *seed, const struct word_source *random, uint8_t *out,
                       size_t length_bytes) {
  if (seed != NULL) {
    const char *why = as_they_come(seed, out, length_bytes);
    if (why == NULL || is_stuck(why) || random == NULL) return answer(env, seed->name, why);
  }
  if (random == NULL) return reason(env, "this CPU has neither " SEED_NAME " nor " RANDOM_NAME);
  return answer(env, random->name, across_reseeds(random, out, length_bytes));
}

napi_value cpu_random(napi_env env, napi_callback_info info) {
  napi_value value;
  int64_t length_bytes;
  struct addon *addon = arguments(env, info, &value, 1);
  if (!integer_argument(env, value, 1, LARGEST_CPU_READ_BYTES, &length_bytes)) return NULL;
  return best(env, addon->has_seed ? &SEED : NULL, addon->has_random ? &RANDOM : NULL, addon->scratch,
              (size_t)length_bytes);
}

#ifdef LAMPLIGHTER_TEST
// For tests only: the same as `cpu_random` on words the test chose. An empty script stands for a missing instruction.
#define NOTHING_THIS_TIME UINT64_C(0x00ff00ff00ff00ff)

struct script {
  const uint8_t *bytes;
  size_t words;
  size_t at;
};

static bool next_scripted(uint64_t *word, void *context) {
  struct script *script = context;
  if (script->at == script->words) return false;
  memcpy(word, script->bytes + 8 * script->at++, sizeof *word);
  return *word != NOTHING_THIS_TIME;
}

napi_value cpu_random_from(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int64_t length_bytes;
  uint8_t *seed_bytes, *random_bytes;
  size_t seed_length, random_length;
  struct addon *addon = arguments(env, info, values, 3);
  if (!integer_argument(env, values[0], 1, LARGEST_CPU_READ_BYTES, &length_bytes)) return NULL;
  if (!bytes_argument(env, values[1], 1, 1 << 20, &seed_bytes, &seed_length)) return NULL;
  if (!bytes_argument(env, values[2], 1, 1 << 20, &random_bytes, &random_length)) return NULL;
  struct script seed_script = {seed_bytes, seed_length / 8, 0}, random_script = {random_bytes, random_length / 8, 0};
  const struct word_source seed = {SEED_NAME, next_scripted, &seed_script, SEED_TRIES};
  const struct word_source random = {RANDOM_NAME, next_scripted, &random_script, RANDOM_TRIES};
  return best(env, seed_script.words > 0 ? &seed : NULL, random_script.words > 0 ? &random : NULL, addon->scratch,
              (size_t)length_bytes);
}
#endif
