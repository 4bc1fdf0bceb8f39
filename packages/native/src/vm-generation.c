// The VM generation that a hypervisor shows in /dev/vmclock0: another number after a clone or a restore.
//
// Source: Linux, include/uapi/linux/vmclock-abi.h. Fields are little-endian and guarded by a sequence count that is odd
// while the hypervisor writes: a read counts only if the count was even and the same before and after.
#include "addon.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define VMCLOCK_MAGIC UINT32_C(0x4b4c4356)
#define VMCLOCK_FLAG_VM_GEN_COUNTER_PRESENT (UINT64_C(1) << 8)
#define MAGIC_AT 0
#define SEQUENCE_AT 12
#define FLAGS_AT 24
#define GENERATION_AT 104
#define PAGE_READ_BYTES (GENERATION_AT + 8)
// A hypervisor holds the count odd for well under a microsecond; this many tries are about a millisecond.
#define TRIES 1000

static uint32_t u32_at(const uint8_t *bytes, size_t at) {
  uint32_t value;
  memcpy(&value, bytes + at, sizeof value);
  return le32toh(value);
}

static uint64_t u64_at(const uint8_t *bytes, size_t at) {
  uint64_t value;
  memcpy(&value, bytes + at, sizeof value);
  return le64toh(value);
}

// Three reads, in this order: the count, everything, the count. Returns NULL, or why there is no page to trust.
static const char *read_page(int device, uint8_t page[PAGE_READ_BYTES]) {
  uint8_t before[4], after[4];
  for (int tries = 0; tries < TRIES; tries++) {
    if (pread(device, before, sizeof before, SEQUENCE_AT) != sizeof before ||
        pread(device, page, PAGE_READ_BYTES, 0) != PAGE_READ_BYTES ||
        pread(device, after, sizeof after, SEQUENCE_AT) != sizeof after)
      return "it cannot be read, or is too short";
    if (u32_at(page, MAGIC_AT) != VMCLOCK_MAGIC) return "it is no VM clock";
    const uint32_t sequence = u32_at(before, 0);
    if (sequence % 2 == 0 && sequence == u32_at(after, 0)) return NULL;
  }
  return "it was being written at every try";
}

napi_value vm_generation(napi_env env, napi_callback_info info) {
  napi_value value;
  char path[256];
  size_t length;
  struct addon *addon = arguments(env, info, &value, 1);
  // One byte more than fits would be cut off silently.
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a string");
    return NULL;
  }
  if (length == 0 || length >= sizeof path) {
    napi_throw_range_error(env, NULL, "expected a path of 1 to 255 bytes");
    return NULL;
  }
  napi_get_value_string_utf8(env, value, path, sizeof path, &length);
  if (strlen(path) != length) {
    napi_throw_range_error(env, NULL, "expected a path without a null byte");
    return NULL;
  }

  const int device = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (device < 0) {
    if (errno == ENOENT) return reason(env, "the hypervisor gives no %s", path);
    return reason(env, "%s cannot be opened: %s", path, strerror(errno));
  }
  uint8_t page[PAGE_READ_BYTES];
  const char *why = read_page(device, page);
  close(device);
  if (why != NULL) return reason(env, "%s cannot be used: %s", path, why);
  if ((u64_at(page, FLAGS_AT) & VMCLOCK_FLAG_VM_GEN_COUNTER_PRESENT) == 0)
    return reason(env, "%s has no VM generation", path);
  memcpy(addon->scratch, page + GENERATION_AT, 8);
  return done(env);
}
