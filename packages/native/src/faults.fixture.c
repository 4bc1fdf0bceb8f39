// For tests, by LD_PRELOAD: an operating system that fails or repeats itself on request.
//
// FAULT=NAME:NUMBER makes the function NAME fail with errno NUMBER; it is read at every call, so a test arms it when it likes.
// Some numbers mean something else, see each function. FIXED_ENTROPY=1 makes getentropy, and with it OpenSSL, deterministic.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static bool is_armed(const char *name, int *number) {
  const char *fault = getenv("FAULT");
  const size_t length = strlen(name);
  if (fault == NULL || strncmp(fault, name, length) != 0 || fault[length] != ':') return false;
  *number = atoi(fault + length + 1);
  return true;
}

static int fail(int number) {
  errno = number;
  return -1;
}

int getentropy(void *buffer, size_t length) {
  int number;
  if (is_armed("getentropy", &number)) return fail(number);
  if (getenv("FIXED_ENTROPY") == NULL) return REAL(getentropy)(buffer, length);
  memset(buffer, 0x42, length);
  return 0;
}

// 0: end of file. EINTR: every other call only. Negative: at most that many bytes a call.
ssize_t getrandom(void *buffer, size_t length, unsigned flags) {
  static bool interrupted;
  int number;
  if (!is_armed("getrandom", &number)) return REAL(getrandom)(buffer, length, flags);
  if (number == 0) return 0;
  if (number == EINTR && (interrupted = !interrupted)) return fail(EINTR);
  if (number > 0 && number != EINTR) return fail(number);
  const size_t most = number < 0 ? (size_t)-number : length;
  return REAL(getrandom)(buffer, length < most ? length : most, flags);
}

// For the kernel's RNG only. 0: RNDADDENTROPY succeeds, and what it was given is printed as a JSON string.
int ioctl(int fd, unsigned long request, ...) {
  va_list values;
  va_start(values, request);
  void *argument = va_arg(values, void *);
  va_end(values);
  int number;
  if (_IOC_TYPE(request) != 'R' || !is_armed("ioctl", &number)) return REAL(ioctl)(fd, request, argument);
  if (number != 0) return fail(number);
  const struct rand_pool_info *given = argument;
  dprintf(1, "\"%d bits, %d bytes: ", given->entropy_count, given->buf_size);
  for (int i = 0; i < given->buf_size; i++) dprintf(1, "%02x", ((const unsigned char *)given->buf)[i]);
  dprintf(1, "\"\n");
  return 0;
}

// For /dev/random only. 0: another device is in its place.
int open(const char *path, int flags, ...) {
  va_list values;
  va_start(values, flags);
  const mode_t mode = va_arg(values, mode_t);
  va_end(values);
  int number;
  if (strcmp(path, "/dev/random") != 0 || !is_armed("open", &number)) return REAL(open)(path, flags, mode);
  return number == 0 ? REAL(open)("/dev/null", flags, mode) : fail(number);
}

// A hypervisor that updates the VM clock: after each of the next N reads of its page the sequence count goes up by 2 and the
// generation by 1.
ssize_t pread(int fd, void *buffer, size_t length, off_t offset) {
  static int updates;
  int number;
  const ssize_t got = REAL(pread)(fd, buffer, length, offset);
  if (length < 112 || !is_armed("pread", &number) || updates >= number) return got;
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  unsigned sequence;
  unsigned long long generation;
  memcpy(&sequence, (char *)buffer + 12, sizeof sequence);
  memcpy(&generation, (char *)buffer + 104, sizeof generation);
  sequence += 2, generation += 1, updates += 1;
  const int writable = open(path, O_WRONLY | O_CLOEXEC);
  if (pwrite(writable, &sequence, sizeof sequence, 12) != sizeof sequence ||
      pwrite(writable, &generation, sizeof generation, 104) != sizeof generation)
    abort();
  close(writable);
  return got;
}

// EINTR: every other call only.
int flock(int fd, int operation) {
  static bool interrupted;
  int number;
  if (!is_armed("flock", &number)) return REAL(flock)(fd, operation);
  if (number == EINTR && !(interrupted = !interrupted)) return REAL(flock)(fd, operation);
  return fail(number);
}

// 0: a socket that nobody is connected to, where the kernel says uid -1.
int getsockopt(int fd, int level, int name, void *value, socklen_t *length) {
  int number;
  if (!is_armed("getsockopt", &number) || name != SO_PEERCRED) return REAL(getsockopt)(fd, level, name, value, length);
  if (number != 0) return fail(number);
  memset(value, 0xff, *length);
  return 0;
}

#ifdef __GLIBC__
typedef __rlimit_resource_t rlimit_resource;
#else
typedef int rlimit_resource;
#endif
int setrlimit(rlimit_resource resource, const struct rlimit *limit) {
  int number;
  return is_armed("setrlimit", &number) ? fail(number) : REAL(setrlimit)(resource, limit);
}

// 0: the cycle counter may not be read.
int prctl(int option, ...) {
  va_list values;
  va_start(values, option);
  unsigned long arguments[4];
  for (int i = 0; i < 4; i++) arguments[i] = va_arg(values, unsigned long);
  va_end(values);
  int number;
  if (!is_armed("prctl", &number))
    return REAL(prctl)(option, arguments[0], arguments[1], arguments[2], arguments[3]);
  if (number != 0) return fail(number);
  if (option == PR_GET_TSC) *(int *)arguments[0] = PR_TSC_SIGSEGV;
  return 0;
}
