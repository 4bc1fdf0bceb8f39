// The addon's table of functions, and the checks every argument passes before C touches it.
#include "addon.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LAMPLIGHTER_TEST
napi_value cpu_random_from(napi_env env, napi_callback_info info);
#endif

static const struct {
  const char *name;
  napi_callback function;
} FUNCTIONS[] = {
    {"readCycles", read_cycles},
    {"rdseed", rdseed},
    {"rdrand", rdrand},
    {"cpuRandom", cpu_random},
    {"kernelRandom", kernel_random},
    {"addEntropy", add_entropy},
    {"reseedKernel", reseed_kernel},
    {"entropyCount", entropy_count},
    {"reseedOpenssl", reseed_openssl},
    {"peerCredentials", peer_credentials},
    {"lockFile", lock_file},
    {"disableCoreDumps", disable_core_dumps},
    {"vmGeneration", vm_generation},
    {"aes256Ctr", aes256_ctr},
    {"hmac", hmac},
#ifdef LAMPLIGHTER_TEST
    {"cpuRandomFrom", cpu_random_from},
#endif
};

// The environment goes down and takes its references with it, the one to the scratch included.
static void release(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static bool attach_scratch(napi_env env, napi_value exports, struct addon *addon) {
  napi_value buffer, scratch;
  void *memory;
  if (napi_create_arraybuffer(env, SCRATCH_LENGTH_BYTES, &memory, &buffer) != napi_ok) return false;
  memset(memory, 0, SCRATCH_LENGTH_BYTES);
  addon->scratch = memory;
  return napi_create_typedarray(env, napi_uint8_array, SCRATCH_LENGTH_BYTES, buffer, 0, &scratch) == napi_ok &&
         napi_set_named_property(env, exports, "scratch", scratch) == napi_ok &&
         napi_create_reference(env, buffer, 1, &addon->scratch_ref) == napi_ok;
}

static bool attach_functions(napi_env env, napi_value exports, struct addon *addon) {
  for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++) {
    napi_value function;
    if (napi_create_function(env, FUNCTIONS[i].name, NAPI_AUTO_LENGTH, FUNCTIONS[i].function, addon, &function) !=
            napi_ok ||
        napi_set_named_property(env, exports, FUNCTIONS[i].name, function) != napi_ok)
      return false;
  }
  napi_value version;
  return napi_create_int32(env, ADDON_VERSION, &version) == napi_ok &&
         napi_set_named_property(env, exports, "version", version) == napi_ok;
}

NAPI_MODULE_INIT(/* napi_env env, napi_value exports */) {
  struct addon *addon = calloc(1, sizeof *addon);
  if (addon == NULL) {
    napi_throw_error(env, NULL, "out of memory");
    return NULL;
  }
  ask_cpu(addon);
  ask_aes(addon);
  ask_hmac(addon);
  if (!attach_scratch(env, exports, addon) || !attach_functions(env, exports, addon) ||
      napi_set_instance_data(env, addon, release, NULL) != napi_ok) {
    // `addon` is leaked on purpose: a function that holds it may already be visible to JavaScript.
    napi_throw_error(env, NULL, "Node-API refused the addon");
    return NULL;
  }
  return exports;
}

// Reads exactly `count` arguments; those not given are `undefined` and fail their own check.
struct addon *arguments(napi_env env, napi_callback_info info, napi_value *values, size_t count) {
  void *addon = NULL;
  napi_get_cb_info(env, info, &count, values, NULL, &addon);
  return addon;
}

bool bytes_argument(napi_env env, napi_value value, size_t least, size_t most, uint8_t **bytes, size_t *length_bytes) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, length_bytes, &data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array) {
    napi_throw_type_error(env, NULL, "expected a Uint8Array");
    return false;
  }
  // A detached array has length 0, and `least` is at least 1.
  if (*length_bytes < least || *length_bytes > most) {
    char message[96];
    snprintf(message, sizeof message, "expected %zu to %zu bytes, got %zu", least, most, *length_bytes);
    napi_throw_range_error(env, NULL, message);
    return false;
  }
  *bytes = data;
  return true;
}

bool integer_argument(napi_env env, napi_value value, int64_t least, int64_t most, int64_t *integer) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a number");
    return false;
  }
  // Not napi_get_value_int64: it rounds 1.5 and turns NaN into 0.
  if (!(number >= (double)least && number <= (double)most) || number != (double)(int64_t)number) {
    char message[96];
    snprintf(message, sizeof message, "expected an integer from %lld to %lld", (long long)least, (long long)most);
    napi_throw_range_error(env, NULL, message);
    return false;
  }
  *integer = (int64_t)number;
  return true;
}

bool boolean_argument(napi_env env, napi_value value, bool *boolean) {
  if (napi_get_value_bool(env, value, boolean) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "expected a boolean");
  return false;
}

// A string is the one thing that no exported function returns as its value.
napi_value reason(napi_env env, const char *format, ...) {
  char text[256];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  napi_value string = NULL;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &string);
  return string;
}

napi_value done(napi_env env) {
  napi_value value = NULL;
  napi_get_boolean(env, true, &value);
  return value;
}
