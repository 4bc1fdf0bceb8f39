import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { expect, it } from 'vitest';
import { compileFaults, inChild, needsAddon, temporaryFolder, misuse } from './addon.fixture.js';
import { peerCredentials } from './peer.js';

/** The descriptor behind a socket or server, which Node keeps to itself. */
function descriptor(of: net.Socket | net.Server): number {
  const handle: unknown = Reflect.get(of, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number') throw new Error('no descriptor');
  return fd;
}

/** Runs `body` with a server and the first socket that `connect` brings to it. */
async function withConnection(
  where: net.ListenOptions,
  connect: (server: net.Server) => { end(): Promise<void> },
  body: (accepted: net.Socket, server: net.Server) => void,
): Promise<void> {
  const server = net.createServer().listen(where);
  await once(server, 'listening');
  const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve));
  const client = connect(server);
  const socket = await accepted;
  try {
    body(socket, server);
  } finally {
    socket.destroy();
    await client.end();
    server.close();
  }
}

function socketTo(options: net.NetConnectOpts): { end(): Promise<void> } {
  const socket = net.connect(options);
  return { end: () => Promise.resolve(void socket.destroy()) };
}

needsAddon('peerCredentials', () => {
  const folder = temporaryFolder();
  const faults = compileFaults(folder);

  it('names the process that connected', async () => {
    const file = path.join(folder, 'a.sock');
    let child: ReturnType<typeof spawn> | undefined;
    const connect = (): { end(): Promise<void> } => {
      const script = `require('node:net').connect(process.argv[1])`;
      const started = spawn(process.execPath, ['-e', script, file], { stdio: 'ignore' });
      const ended = once(started, 'close');
      child = started;
      return {
        async end() {
          started.kill();
          await ended;
        },
      };
    };
    await withConnection({ path: file }, connect, (accepted) => {
      expect(peerCredentials(descriptor(accepted))).toEqual({
        supported: true,
        value: { pid: child?.pid, uid: process.getuid?.(), gid: process.getgid?.() },
      });
    });
  });

  it('has no answer for a listening socket, which would answer with this process', async () => {
    const file = path.join(folder, 'b.sock');
    await withConnection(
      { path: file },
      () => socketTo({ path: file }),
      (_, server) => {
        expect(peerCredentials(descriptor(server))).toEqual({
          supported: false,
          reason: 'a listening socket has no peer',
        });
      },
    );
  });

  it('has no answer for TCP, where the kernel would give uid 4294967295', async () => {
    const connect = (server: net.Server): { end(): Promise<void> } => {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('no port');
      return socketTo({ port: address.port, host: '127.0.0.1' });
    };
    await withConnection({ port: 0, host: '127.0.0.1' }, connect, (accepted) => {
      expect(peerCredentials(descriptor(accepted))).toEqual({
        supported: false,
        reason: 'only unix sockets know their peer',
      });
    });
  });

  it('says why others have no answer', () => {
    const fd = openSync('/proc/self/exe', 'r');
    expect(peerCredentials(fd)).toEqual({
      supported: false,
      reason: 'the peer cannot be asked for: Socket operation on non-socket',
    });
    closeSync(fd);
    expect(peerCredentials(fd)).toEqual({
      supported: false,
      reason: 'the peer cannot be asked for: Bad file descriptor',
    });
  });

  it.each([
    ['getsockopt:0', 'the socket has no peer'],
    ['getsockopt:92', 'the peer cannot be asked for: Protocol not available'],
  ])('takes no answer that is none (%s)', (fault, reason) => {
    const script = `
      const net = require('node:net');
      const file = ${JSON.stringify(path.join(folder, 'c.sock'))};
      const server = net.createServer((socket) => {
        arm(${JSON.stringify(fault)});
        tell(native.peerCredentials(socket._handle.fd));
        process.exit();
      }).listen(file, () => net.connect(file));
      process.on('exit', () => server.close());
    `;
    expect(inChild(script, { faults })).toEqual([reason]);
  });

  it('refuses what is no descriptor', () => {
    for (const fd of [-1, 0.5, NaN, 2 ** 31]) expect(() => peerCredentials(fd)).toThrow(RangeError);
    expect(misuse(peerCredentials, '0')).toThrow(TypeError);
  });
});
