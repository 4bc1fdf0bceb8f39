// flock(2), which Node does not have: the lock goes when the file is closed or the process ends, however it ends.
#include "addon.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>

napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value values[2], locked = NULL;
  int64_t fd;
  bool exclusive;
  arguments(env, info, values, 2);
  if (!integer_argument(env, values[0], 0, INT_MAX, &fd)) return NULL;
  if (!boolean_argument(env, values[1], &exclusive)) return NULL;
  int result;
  do result = flock((int)fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
  while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EWOULDBLOCK) return reason(env, "the file cannot be locked: %s", strerror(errno));
  napi_get_boolean(env, result == 0, &locked);
  return locked;
}
