// Who is at the other end of a unix socket, as the kernel noted it at connect(2) (SO_PEERCRED, unix(7)).
#include "addon.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

static bool set_number(napi_env env, napi_value object, const char *name, int64_t number) {
  napi_value value;
  return napi_create_int64(env, number, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

napi_value peer_credentials(napi_env env, napi_callback_info info) {
  napi_value value, credentials;
  int64_t fd;
  arguments(env, info, &value, 1);
  if (!integer_argument(env, value, 0, INT_MAX, &fd)) return NULL;

  int domain = 0, listens = 0;
  socklen_t length = sizeof domain, listens_length = sizeof listens;
  if (getsockopt((int)fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 ||
      getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_length) != 0)
    return reason(env, "the peer cannot be asked for: %s", strerror(errno));
  // On TCP the kernel answers too, with uid 4294967295 and pid 0.
  if (domain != AF_UNIX) return reason(env, "only unix sockets know their peer");

  // A listening socket answers with the credentials of whoever listens.
  if (listens != 0) return reason(env, "a listening socket has no peer");

  struct ucred peer;
  length = sizeof peer;
  if (getsockopt((int)fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || length != sizeof peer)
    return reason(env, "the peer cannot be asked for: %s", strerror(errno));
  if (peer.uid == (uid_t)-1) return reason(env, "the socket has no peer");
  if (napi_create_object(env, &credentials) != napi_ok || !set_number(env, credentials, "pid", peer.pid) ||
      !set_number(env, credentials, "uid", peer.uid) || !set_number(env, credentials, "gid", peer.gid))
    return NULL;
  return credentials;
}
