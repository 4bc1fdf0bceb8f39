// For tests, by -include: the addon on an x86-64 CPU that has no generator of its own, and whose cycle counter always shows
// FIXED_CYCLES when that is set.
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>

static inline int no_feature(unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
  *a = *b = *c = *d = 0;
  return 0;
}
#define __get_cpuid(leaf, a, b, c, d) no_feature(a, b, c, d)
#define __get_cpuid_count(leaf, subleaf, a, b, c, d) no_feature(a, b, c, d)

static inline uint64_t shown_cycles(void) {
  const char *fixed = getenv("FIXED_CYCLES");
  return fixed == NULL ? __rdtsc() : strtoull(fixed, NULL, 10);
}
#undef __rdtsc
#define __rdtsc shown_cycles
