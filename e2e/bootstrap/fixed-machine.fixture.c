// For tests, by LD_PRELOAD: a machine on which nothing is left to chance, as far as its variables say so.
//
// FIXED_GETENTROPY=N    getentropy, and so OpenSSL's source, returns the byte N for ever
// FIXED_GETRANDOM=N     so does getrandom, which the addon asks for the OS bytes in x
// FIXED_REALTIME_NS=N   the real-time clock stands still
// FIXED_MONOTONIC_NS=N  so does every clock that is never set back
// REDIRECT=A=B:C=D      whoever opens the file A, or loads a library of that name, gets B in its place
// HANDED_OVER=FILE      what the kernel's RNG is given is written to FILE too, as lines: call, credit in bits, bytes in hex
//
// Without its variable each function is the real one.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define NS_PER_S 1000000000LL

static bool is_fixed(const char *variable, long long *value) {
  const char *text = getenv(variable);
  if (text == NULL) return false;
  *value = atoll(text);
  return true;
}

int getentropy(void *buffer, size_t length) {
  long long byte;
  if (!is_fixed("FIXED_GETENTROPY", &byte)) return REAL(getentropy)(buffer, length);
  memset(buffer, (int)byte, length);
  return 0;
}

ssize_t getrandom(void *buffer, size_t length, unsigned flags) {
  long long byte;
  if (!is_fixed("FIXED_GETRANDOM", &byte)) return REAL(getrandom)(buffer, length, flags);
  memset(buffer, (int)byte, length);
  return (ssize_t)length;
}

static const char *variable_of(clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
      return "FIXED_REALTIME_NS";
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
      return "FIXED_MONOTONIC_NS";
    default:
      return NULL;
  }
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  const char *variable = variable_of(clock);
  long long ns;
  if (variable == NULL || !is_fixed(variable, &ns)) return REAL(clock_gettime)(clock, time);
  time->tv_sec = ns / NS_PER_S;
  time->tv_nsec = ns % NS_PER_S;
  return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  long long ns;
  if (!is_fixed("FIXED_REALTIME_NS", &ns)) return REAL(gettimeofday)(time, zone);
  time->tv_sec = ns / NS_PER_S;
  time->tv_usec = ns % NS_PER_S / 1000;
  return 0;
}

time_t time(time_t *seconds) {
  long long ns;
  if (!is_fixed("FIXED_REALTIME_NS", &ns)) return REAL(time)(seconds);
  if (seconds != NULL) *seconds = ns / NS_PER_S;
  return ns / NS_PER_S;
}

// The file that stands in for `path`, in memory that is never freed.
static const char *redirected(const char *path) {
  const size_t length = strlen(path);
  for (const char *pair = getenv("REDIRECT"); pair != NULL; pair = strchr(pair, ':')) {
    if (*pair == ':') pair++;
    if (strncmp(pair, path, length) != 0 || pair[length] != '=') continue;
    const char *target = pair + length + 1;
    return strndup(target, strcspn(target, ":"));
  }
  return path;
}

static mode_t mode_in(int flags, va_list values) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(values, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
  va_list values;
  va_start(values, flags);
  const mode_t mode = mode_in(flags, values);
  va_end(values);
  return REAL(open)(redirected(path), flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list values;
  va_start(values, flags);
  const mode_t mode = mode_in(flags, values);
  va_end(values);
  return REAL(open64)(redirected(path), flags, mode);
}

void *dlopen(const char *path, int flags) {
  if (path == NULL) return REAL(dlopen)(NULL, flags);
  const char *slash = strrchr(path, '/');
  const char *name = slash == NULL ? path : slash + 1;
  const char *instead = redirected(name);
  return REAL(dlopen)(instead == name ? path : instead, flags);
}

static bool is_kernel_rng(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && major(status.st_rdev) == 1 &&
         (minor(status.st_rdev) == 8 || minor(status.st_rdev) == 9);
}

static void note(const char *call, int credit_bits, const unsigned char *bytes, size_t length) {
  const char *file = getenv("HANDED_OVER");
  if (file == NULL) return;
  const int fd = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) abort();
  dprintf(fd, "%s %d ", call, credit_bits);
  for (size_t i = 0; i < length; i++) dprintf(fd, "%02x", bytes[i]);
  dprintf(fd, "\n");
  close(fd);
}

int ioctl(int fd, unsigned long request, ...) {
  va_list values;
  va_start(values, request);
  void *argument = va_arg(values, void *);
  va_end(values);
  if (request == RNDADDENTROPY && is_kernel_rng(fd)) {
    const struct rand_pool_info *given = argument;
    note("RNDADDENTROPY", given->entropy_count, (const unsigned char *)given->buf, (size_t)given->buf_size);
  }
  return REAL(ioctl)(fd, request, argument);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  if (getenv("HANDED_OVER") != NULL && is_kernel_rng(fd)) note("write", 0, bytes, length);
  return REAL(write)(fd, bytes, length);
}
