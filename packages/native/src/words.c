// Filling bytes from RDSEED or RDRAND, with the checks their makers and their failures call for.
//
// Source: Intel, "Digital Random Number Generator (DRNG) Software Implementation Guide", 4.2.1 and 4.2.6. The check for
// stuck output is ours: CPUs have been shipped that report success and give all ones (AMD Zen 2 before its microcode
// update, AMD family 15h and 16h after suspend) or zeros (some Zen 5).
#define _GNU_SOURCE
#include "words.h"

#include <string.h>

// Intel's generator gives at most 511 samples of 128 bits from one seed (guide, 4.2.6); 512 reach into the next.
#define WORDS_PER_RESEED (512 * 2)

static const char EMPTY[] = "gave nothing, however often it was asked";
static const char ALL_ZEROS[] = "is stuck: all zeros";
static const char ALL_ONES[] = "is stuck: all ones";
static const char REPEATS[] = "is stuck: it repeats";

bool is_stuck(const char *why) { return why == ALL_ZEROS || why == ALL_ONES || why == REPEATS; }

// Appends words[at]. A healthy word is refused with probability 2^-57 at most (63 earlier words, zeros and ones).
static const char *next_word(const struct word_source *source, uint64_t *words, size_t at) {
  bool given = false;
  for (int tries = 0; tries < source->tries && !given; tries++) given = source->next(&words[at], source->context);
  if (!given) return EMPTY;
  if (words[at] == 0) return ALL_ZEROS;
  if (words[at] == UINT64_MAX) return ALL_ONES;
  for (size_t i = 0; i < at; i++)
    if (words[i] == words[at]) return REPEATS;
  return NULL;
}

// At least two words are drawn, so that even eight bytes are compared with something.
const char *as_they_come(const struct word_source *source, uint8_t *out, size_t length_bytes) {
  uint64_t words[LARGEST_CPU_READ_BYTES / 8];
  const size_t count = length_bytes > 16 ? (length_bytes + 7) / 8 : 2;
  const char *why = NULL;
  for (size_t at = 0; at < count && why == NULL; at++) why = next_word(source, words, at);
  if (why == NULL) memcpy(out, words, length_bytes);
  else explicit_bzero(out, length_bytes);
  explicit_bzero(words, sizeof words);
  return why;
}

// Each 16 bytes are 512 samples of 128 bits folded into one, so that the generator was reseeded in between.
// Deviation: the guide folds by AES-CBC-MAC. XOR keeps as much: the part from the new seed does not depend on the rest.
const char *across_reseeds(const struct word_source *source, uint8_t *out, size_t length_bytes) {
  uint64_t words[2] = {0, 0}, folded[2];
  const char *why = NULL;
  for (size_t made = 0; made < length_bytes && why == NULL; made += sizeof folded) {
    memset(folded, 0, sizeof folded);
    for (size_t i = 0; i < WORDS_PER_RESEED && why == NULL; i++) {
      why = next_word(source, words, 1);
      folded[i % 2] ^= words[1];
      words[0] = words[1];
    }
    const size_t left = length_bytes - made;
    if (why == NULL) memcpy(out + made, folded, left < sizeof folded ? left : sizeof folded);
  }
  if (why != NULL) explicit_bzero(out, length_bytes);
  explicit_bzero(words, sizeof words);
  explicit_bzero(folded, sizeof folded);
  return why;
}
