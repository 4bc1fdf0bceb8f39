import { LamplighterError } from '@lamplighter/core';

/**
 * Why a server could not listen, and what to do about it.
 * @param error - what node:net emitted
 * @returns ERR_PORT_IN_USE or ERR_LISTEN
 */
export function listenError(error: Error, { host, port }: { host: string; port: number }): LamplighterError {
  const code = 'code' in error ? String(error.code) : 'unknown error';
  if (code === 'EADDRINUSE') {
    return new LamplighterError('ERR_PORT_IN_USE', `port ${port} on ${host} is in use`, {
      hint: `stop what listens there (\`ss -ltnp sport = :${port}\` names it) or configure another port`,
      cause: error,
    });
  }
  const hint =
    code === 'EACCES'
      ? 'ports below 1024 need CAP_NET_BIND_SERVICE; configure another port'
      : 'configure an address that this machine has (`ip address` lists them)';
  return new LamplighterError('ERR_LISTEN', `cannot listen on ${host} port ${port} (${code})`, {
    hint,
    cause: error,
  });
}
