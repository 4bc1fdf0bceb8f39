// HMAC with the SHA-2 of the OpenSSL in this process, into the caller's own memory and without an object on the heap: what
// Node does in two to four times the time, most of it to look the hash up by its name again.
//
// Source: RFC 2104, FIPS 198-1. Of OpenSSL's functions these are the ones whose state is the caller's, so that it can lie on
// the stack and be wiped. They are deprecated: where they are missing, or answer wrong, it is unsupported.
#include "addon.h"

#include <string.h>

#define LARGEST_BLOCK_BYTES 128
#define LARGEST_DIGEST_BYTES 64
#define LARGEST_TEXT_BYTES (1 << 20)
#define IPAD 0x36
#define OPAD 0x5c

// openssl/sha.h, declared here: Node exports the functions and no headers need to be found. Weak, and so NULL in a program that
// has none: see openssl.c.
__attribute__((weak)) int SHA256_Init(void *context);
__attribute__((weak)) int SHA256_Update(void *context, const void *bytes, size_t length_bytes);
__attribute__((weak)) int SHA256_Final(uint8_t *digest, void *context);
__attribute__((weak)) int SHA512_Init(void *context);
__attribute__((weak)) int SHA512_Update(void *context, const void *bytes, size_t length_bytes);
__attribute__((weak)) int SHA512_Final(uint8_t *digest, void *context);

struct sha {
  int (*init)(void *context);
  int (*update)(void *context, const void *bytes, size_t length_bytes);
  int (*final)(uint8_t *digest, void *context);
  size_t block_bytes, digest_bytes;
};

static const struct sha SHA256 = {SHA256_Init, SHA256_Update, SHA256_Final, 64, 32};
static const struct sha SHA512 = {SHA512_Init, SHA512_Update, SHA512_Final, 128, 64};

// SHA512_CTX takes 27 words, SHA256_CTX 14: with room for one that grows.
union context {
  uint64_t words[64];
};

static bool keyed_hash(const struct sha *sha, const uint8_t *padded_key, const uint8_t *text, size_t length_bytes,
                       uint8_t *digest) {
  union context context;
  const bool made = sha->init(&context) == 1 && sha->update(&context, padded_key, sha->block_bytes) == 1 &&
                    sha->update(&context, text, length_bytes) == 1 && sha->final(digest, &context) == 1;
  explicit_bzero(&context, sizeof context);
  return made;
}

// H((K ⊕ opad) ‖ H((K ⊕ ipad) ‖ text)), for a key no longer than a block. `mac` is untouched when it fails.
static bool make_mac(const struct sha *sha, const uint8_t *key, size_t key_length, const uint8_t *text,
                     size_t length_bytes, uint8_t *mac) {
  uint8_t block[LARGEST_BLOCK_BYTES], digest[LARGEST_DIGEST_BYTES];
  memset(block, IPAD, sizeof block);
  for (size_t i = 0; i < key_length; i++) block[i] ^= key[i];
  bool made = keyed_hash(sha, block, text, length_bytes, digest);
  for (size_t i = 0; i < sizeof block; i++) block[i] ^= IPAD ^ OPAD;
  made = made && keyed_hash(sha, block, digest, sha->digest_bytes, digest);
  if (made) memcpy(mac, digest, sha->digest_bytes);
  explicit_bzero(block, sizeof block);
  explicit_bzero(digest, sizeof digest);
  return made;
}

// RFC 4231, 4.3: a library whose state is laid out otherwise is found out before it is used.
static bool is_right(const struct sha *sha, const uint8_t *expected) {
  static const char KEY[] = "Jefe", TEXT[] = "what do ya want for nothing?";
  uint8_t mac[LARGEST_DIGEST_BYTES];
  return make_mac(sha, (const uint8_t *)KEY, sizeof KEY - 1, (const uint8_t *)TEXT, sizeof TEXT - 1, mac) &&
         memcmp(mac, expected, sha->digest_bytes) == 0;
}

void ask_hmac(struct addon *addon) {
  static const uint8_t RIGHT_256[] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
                                      0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27,
                                      0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
  static const uint8_t RIGHT_512[] = {
      0x16, 0x4b, 0x7a, 0x7b, 0xfc, 0xf8, 0x19, 0xe2, 0xe3, 0x95, 0xfb, 0xe7, 0x3b, 0x56, 0xe0, 0xa3,
      0x87, 0xbd, 0x64, 0x22, 0x2e, 0x83, 0x1f, 0xd6, 0x10, 0x27, 0x0c, 0xd7, 0xea, 0x25, 0x05, 0x54,
      0x97, 0x58, 0xbf, 0x75, 0xc0, 0x5a, 0x99, 0x4a, 0x6d, 0x03, 0x4f, 0x65, 0xf8, 0xf0, 0xe6, 0xfd,
      0xca, 0xea, 0xb1, 0xa3, 0x4d, 0x4a, 0x6b, 0x4b, 0x63, 0x6e, 0x07, 0x0a, 0x38, 0xbc, 0xe7, 0x37};
  const struct sha *both[] = {&SHA256, &SHA512};
  bool found = true;
  for (size_t i = 0; i < 2; i++)
    found = found && both[i]->init != NULL && both[i]->update != NULL && both[i]->final != NULL;
  addon->has_hmac = found && is_right(&SHA256, RIGHT_256) && is_right(&SHA512, RIGHT_512);
}

// Whether it is SHA-512, key, text, result.
napi_value hmac(napi_env env, napi_callback_info info) {
  napi_value values[4];
  uint8_t *key, *text, *mac;
  size_t key_length, text_length, mac_length;
  bool is_sha512;
  const struct addon *addon = arguments(env, info, values, 4);
  if (!boolean_argument(env, values[0], &is_sha512)) return NULL;
  const struct sha *sha = is_sha512 ? &SHA512 : &SHA256;
  if (!bytes_argument(env, values[1], 1, sha->block_bytes, &key, &key_length)) return NULL;
  if (!bytes_argument(env, values[2], 1, LARGEST_TEXT_BYTES, &text, &text_length)) return NULL;
  if (!bytes_argument(env, values[3], sha->digest_bytes, sha->digest_bytes, &mac, &mac_length)) return NULL;
  if (!addon->has_hmac) return reason(env, "the OpenSSL in this process has no SHA-2 that can be used");
  if (!make_mac(sha, key, key_length, text, text_length, mac)) return reason(env, "OpenSSL refused to hash");
  return NULL;
}
