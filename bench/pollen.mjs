// Debian's pollen, as a black box with our certificates.
import { once } from 'node:events';
import net from 'node:net';
import { unlinkSync } from 'node:fs';
import { atExit, freePort, isInstalled, startServer } from './processes.mjs';

/** Where Go's log/syslog looks when nobody listens at /dev/log; nothing of the system's is there on Linux. */
const SYSLOG = '/var/run/syslog';

/**
 * Starts pollen, or says that it is skipped, and why.
 * @param {(name: string) => string} file the folder of certificates
 */
export async function startPollen(file) {
  if (!isInstalled('pollen')) {
    console.log('  skipped: pollen is not installed (apt-get install pollen)');
    return undefined;
  }
  const [plain, secure] = [await freePort(), await freePort()];
  const ports = ['-http-port', String(plain), '-https-port', String(secure)];
  const files = ['-cert', file('relay.pem'), '-key', file('relay.key')];
  const syslog = await listenToSyslog();
  try {
    const server = await startServer(['pollen', ...ports, ...files], {
      port: secure,
      log: file('pollen.log'),
    });
    const stop = async () => {
      await server.stop();
      syslog?.close();
    };
    return { ...server, stop, plain, secure };
  } catch (error) {
    syslog?.close();
    console.log(`  skipped: ${error.message.trim().replaceAll('\n', ' ')}`);
    return undefined;
  }
}

/**
 * pollen writes a line to the syslog for every request, and does not start where there is none. Ours is a stream that is
 * read and dropped: nothing is cheaper for pollen. Where a real one listens at /dev/log, pollen takes that.
 * @returns undefined when it may not be made, or is there
 */
async function listenToSyslog() {
  const server = net.createServer((socket) => socket.resume().on('error', () => {}));
  try {
    await once(server.listen(SYSLOG), 'listening');
    // Closing the server removes it too.
    server.on(
      'close',
      atExit(() => unlinkSync(SYSLOG)),
    );
    return server;
  } catch {
    return undefined;
  }
}
