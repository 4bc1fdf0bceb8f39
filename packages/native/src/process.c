// Keeping this process's memory out of files and debuggers.
#include "addon.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

napi_value disable_core_dumps(napi_env env, napi_callback_info info) {
  (void)info;
  const struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return reason(env, "setrlimit failed: %s", strerror(errno));
  // The limit does not bind a kernel that pipes cores to a program (core_pattern "|…"); not being dumpable does.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return reason(env, "prctl failed: %s", strerror(errno));
  return done(env);
}
