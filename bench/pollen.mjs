// Debian's pollen, as a black box with our certificates. It does not start without a syslog: see README.md.
import { existsSync } from 'node:fs';
import { freePort, isInstalled, startServer } from './processes.mjs';

/**
 * Starts pollen, or says that it is skipped, and why.
 * @param {(name: string) => string} file the folder of certificates
 */
export async function startPollen(file) {
  if (!isInstalled('pollen') || !existsSync('/dev/log')) {
    console.log('  skipped: pollen needs `apt-get install pollen` and a syslog (/dev/log)');
    return undefined;
  }
  const [plain, secure] = [await freePort(), await freePort()];
  const ports = ['-http-port', String(plain), '-https-port', String(secure)];
  const files = ['-cert', file('relay.pem'), '-key', file('relay.key')];
  try {
    const server = await startServer(['pollen', ...ports, ...files], {
      port: secure,
      log: file('pollen.log'),
    });
    return { ...server, plain, secure };
  } catch (error) {
    console.log(`  skipped: ${error.message.trim().replaceAll('\n', ' ')}`);
    return undefined;
  }
}
