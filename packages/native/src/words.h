// Words from an instruction that may fail or be broken: shared by cpu.c and words.c.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LARGEST_CPU_READ_BYTES 512

struct word_source {
  const char *name;
  // False: nothing this time.
  bool (*next)(uint64_t *word, void *context);
  void *context;
  // How often it is asked before it counts as empty.
  int tries;
};

// NULL: `out` is filled. Otherwise why not, and `out` is wiped.
typedef const char *fill_words(const struct word_source *source, uint8_t *out, size_t length_bytes);
fill_words as_they_come;
fill_words across_reseeds;

// One of the reasons above: the source is there and answers, but not at random.
bool is_stuck(const char *why);
