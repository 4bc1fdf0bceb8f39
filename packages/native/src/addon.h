// What the files of the addon share: one state per Node environment, checked arguments, and reasons.
//
// Every function the addon exports either throws (misuse: TypeError, RangeError), or returns a string (a reason: this
// machine cannot do it, or not now), or returns its value, which is never a string. Nothing here allocates on the heap.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Changed together with the table in addon.ts whenever a function or its arguments change.
#ifndef ADDON_VERSION
#define ADDON_VERSION 2
#endif
// Small answers go through memory shared with JavaScript: a call that passes no typed array costs a third.
#define SCRATCH_LENGTH_BYTES 4096

// One per Node environment (main thread or worker), alive as long as it.
struct addon {
  uint8_t *scratch;
  napi_ref scratch_ref;
  // Asked once: in a virtual machine every CPUID is a trip to the hypervisor, ten microseconds and more.
  bool has_cycle_counter, has_random, has_seed, has_aes, has_wide_aes, has_hmac;
};

// addon.c
struct addon *arguments(napi_env env, napi_callback_info info, napi_value *values, size_t count);
bool bytes_argument(napi_env env, napi_value value, size_t least, size_t most, uint8_t **bytes, size_t *length_bytes);
bool integer_argument(napi_env env, napi_value value, int64_t least, int64_t most, int64_t *integer);
bool boolean_argument(napi_env env, napi_value value, bool *boolean);
napi_value reason(napi_env env, const char *format, ...) __attribute__((format(printf, 2, 3)));
napi_value done(napi_env env);

// cpu.c, aes.c, hmac.c: what the CPU can do, and the OpenSSL in this process.
void ask_cpu(struct addon *addon);
void ask_aes(struct addon *addon);
void ask_hmac(struct addon *addon);

// The exported functions, each in the file of its name.
napi_value read_cycles(napi_env env, napi_callback_info info);
napi_value rdseed(napi_env env, napi_callback_info info);
napi_value rdrand(napi_env env, napi_callback_info info);
napi_value cpu_random(napi_env env, napi_callback_info info);
napi_value kernel_random(napi_env env, napi_callback_info info);
napi_value add_entropy(napi_env env, napi_callback_info info);
napi_value reseed_kernel(napi_env env, napi_callback_info info);
napi_value entropy_count(napi_env env, napi_callback_info info);
napi_value reseed_openssl(napi_env env, napi_callback_info info);
napi_value peer_credentials(napi_env env, napi_callback_info info);
napi_value lock_file(napi_env env, napi_callback_info info);
napi_value disable_core_dumps(napi_env env, napi_callback_info info);
napi_value vm_generation(napi_env env, napi_callback_info info);
napi_value aes256_ctr(napi_env env, napi_callback_info info);
napi_value hmac(napi_env env, napi_callback_info info);
