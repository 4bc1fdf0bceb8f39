// The kernel's RNG: getrandom without waiting, and the ioctls that write(2) cannot replace (DESIGN 9, random(4)).
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LARGEST_ADDITION_BYTES 512
#define DEVICE "/dev/random"

// Headers of kernels before 4.17 lack it.
#ifndef RNDRESEEDCRNG
#define RNDRESEEDCRNG _IO('R', 0x07)
#endif

napi_value kernel_random(napi_env env, napi_callback_info info) {
  napi_value value;
  int64_t length_bytes;
  struct addon *addon = arguments(env, info, &value, 1);
  if (!integer_argument(env, value, 1, SCRATCH_LENGTH_BYTES, &length_bytes)) return NULL;
  size_t filled = 0;
  while (filled < (size_t)length_bytes) {
    const ssize_t got = getrandom(addon->scratch + filled, (size_t)length_bytes - filled, GRND_NONBLOCK);
    if (got > 0) {
      filled += (size_t)got;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    const int error = got == 0 ? EIO : errno;
    explicit_bzero(addon->scratch, (size_t)length_bytes);
    if (error == EAGAIN) return reason(env, "the kernel's random number generator is not ready");
    return reason(env, "getrandom failed: %s", strerror(error));
  }
  return done(env);
}

// The device itself, not what a container may have put in its place: an ioctl means something else elsewhere.
static int open_device(const char **why) {
  const int device = open(DEVICE, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
  if (device < 0) {
    *why = strerror(errno);
    return -1;
  }
  struct stat status;
  // glibc exports fstat since 2.33 only. On x86-64 and arm64 its struct is the kernel's.
  if (syscall(SYS_fstat, device, &status) == 0 && S_ISCHR(status.st_mode) && major(status.st_rdev) == 1 &&
      (minor(status.st_rdev) == 8 || minor(status.st_rdev) == 9))
    return device;
  close(device);
  *why = "it is not the kernel's random number generator";
  return -1;
}

static napi_value control(napi_env env, const char *name, unsigned long request, void *argument) {
  const char *why;
  const int device = open_device(&why);
  if (device < 0) return reason(env, DEVICE " cannot be used: %s", why);
  const int result = ioctl(device, request, argument);
  const int error = errno;
  close(device);
  if (result == 0) return done(env);
  switch (error) {
    case EPERM:
      return reason(env, "%s is not permitted: it needs CAP_SYS_ADMIN", name);
    case ENODATA:
      return reason(env, "%s: the kernel's random number generator is not ready", name);
    case EINVAL:
    case ENOTTY:
      return reason(env, "%s: this kernel does not have it", name);
    default:
      return reason(env, "%s failed: %s", name, strerror(error));
  }
}

napi_value add_entropy(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint8_t *bytes;
  size_t length_bytes;
  int64_t credit_bits;
  arguments(env, info, values, 2);
  if (!bytes_argument(env, values[0], 1, LARGEST_ADDITION_BYTES, &bytes, &length_bytes)) return NULL;
  if (!integer_argument(env, values[1], 0, (int64_t)length_bytes * 8, &credit_bits)) return NULL;
  // struct rand_pool_info ends in a flexible array; this is the same with room for it.
  struct {
    int entropy_count;
    int buf_size;
    uint8_t buf[LARGEST_ADDITION_BYTES];
  } addition = {(int)credit_bits, (int)length_bytes, {0}};
  _Static_assert(offsetof(struct rand_pool_info, buf) == 8, "the bytes stand after two ints");
  memcpy(addition.buf, bytes, length_bytes);
  const napi_value result = control(env, "RNDADDENTROPY", RNDADDENTROPY, &addition);
  explicit_bzero(&addition, sizeof addition);
  return result;
}

napi_value reseed_kernel(napi_env env, napi_callback_info info) {
  (void)info;
  return control(env, "RNDRESEEDCRNG", RNDRESEEDCRNG, NULL);
}

// Leaves the count in the first four bytes of the scratch, little-endian.
napi_value entropy_count(napi_env env, napi_callback_info info) {
  struct addon *addon = arguments(env, info, NULL, 0);
  int count = 0;
  const napi_value result = control(env, "RNDGETENTCNT", RNDGETENTCNT, &count);
  memcpy(addon->scratch, &count, sizeof count);
  return result;
}
