import type { ErrorCode } from '@lamplighter/core';
import { loadTlsFiles, type TlsMaterial, type TlsPaths } from '../identity/tls-files.js';
import type { Environment } from '../local/environment.js';
import { refuseOther } from './machine-files.js';

/**
 * Reads our own TLS files, having seen that they are files: opening a pipe would hold this process for ever.
 * @throws LamplighterError as {@link loadTlsFiles}
 */
export async function loadOwnTls(environment: Environment, paths: TlsPaths): Promise<TlsMaterial> {
  const codes: Readonly<Record<keyof TlsPaths, ErrorCode>> = {
    ca: 'ERR_CERTIFICATE_FILE',
    cert: 'ERR_CERTIFICATE_FILE',
    key: 'ERR_KEY_FILE',
  };
  for (const which of ['ca', 'cert', 'key'] as const)
    await refuseOther(environment, paths[which], codes[which]);
  return await loadTlsFiles(paths);
}
