// Reseeding the OpenSSL that lives in this process, so that Node's own randomBytes, keys and TLS are hedged (DESIGN 7).
#include "addon.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define LARGEST_INPUT_BYTES 65536

// openssl/evp.h and rand.h, 3.0 and later, declared here: Node exports the functions and no headers need to be found. Weak, and
// so NULL in a program that has none. Not dlsym: linked today it asks for glibc 2.34, and Node runs on 2.28.
__attribute__((weak)) void *RAND_get0_primary(void *library_context);
__attribute__((weak)) int EVP_RAND_reseed(void *generator, int prediction_resistance, const uint8_t *entropy,
                                          size_t entropy_length, const uint8_t *additional, size_t additional_length);

// OpenSSL draws from the OS while it reseeds. If that fails the input is lost, and every later randomBytes spins for ever:
// so ask first, without waiting, and then by the very function that OpenSSL will call.
static const char *os_source_failure(void) {
  uint8_t probe[32];
  ssize_t got;
  do got = getrandom(probe, sizeof probe, GRND_NONBLOCK);
  while (got < 0 && errno == EINTR);
  const char *failure = NULL;
  if (got < 0 && errno == EAGAIN) failure = "not ready";
  else if (got < 0) failure = strerror(errno);
  else if (got != sizeof probe) failure = "a short answer";
  else if (getentropy(probe, sizeof probe) != 0) failure = strerror(errno);
  explicit_bzero(probe, sizeof probe);
  return failure;
}

napi_value reseed_openssl(napi_env env, napi_callback_info info) {
  napi_value value;
  uint8_t *bytes;
  size_t length_bytes;
  arguments(env, info, &value, 1);
  if (!bytes_argument(env, value, 1, LARGEST_INPUT_BYTES, &bytes, &length_bytes)) return NULL;

  if (RAND_get0_primary == NULL || EVP_RAND_reseed == NULL) return reason(env, "this process has no OpenSSL 3 to reseed");

  const char *failure = os_source_failure();
  if (failure != NULL) return reason(env, "not tried, the operating system's RNG fails: %s", failure);
  void *primary = RAND_get0_primary(NULL);
  if (primary == NULL) return reason(env, "OpenSSL has no primary generator");
  // All entropy is left to OpenSSL's own source; ours is additional input, which can only add.
  if (EVP_RAND_reseed(primary, 0, NULL, 0, bytes, length_bytes) != 1) return reason(env, "OpenSSL refused to reseed");
  return done(env);
}
