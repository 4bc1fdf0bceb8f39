import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { needs } from '../../needs.fixture.js';
import { type TestNode, testNode } from '../context.fixture.js';
import type { Outlet } from '../outlet.js';
import { egdOutlet } from './egd.js';

let folder: string;
let node: TestNode;
let outlet: Outlet | undefined;
let child: ChildProcess | undefined;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'egd-'));
  node = testNode();
});

afterEach(async () => {
  if (child !== undefined && child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'close');
    child.kill('SIGKILL');
    await ended;
  }
  child = undefined;
  await outlet?.stop(0);
  await fs.rm(folder, { recursive: true });
});

async function started(listen: string): Promise<Outlet> {
  outlet = egdOutlet({ name: 'egd', environment: systemEnvironment(), listen });
  await outlet.start(node.context, new AbortController().signal);
  return outlet;
}

/** 16 bytes that occur twice are bytes that were given twice. */
function expectNothingTwice(bytes: Buffer): void {
  const blocks = Array.from({ length: Math.floor(bytes.length / 16) }, (_, i) =>
    bytes.toString('hex', 16 * i, 16 * i + 16),
  );
  expect(new Set(blocks).size).toBe(blocks.length);
}

needs('eb_server_egd')('entropybroker’s eb_server_egd', () => {
  it('fills a file through the unix socket, as fast as it may', async () => {
    const socket = path.join(folder, 'egd', 'socket');
    const [output, login] = [path.join(folder, 'output'), path.join(folder, 'login')];
    await fs.writeFile(login, 'user\npassword-of-nobody\n', { mode: 0o600 });
    node.seed();
    const served = await started(`unix:${socket}`);
    child = spawn('eb_server_egd', ['-n', '-d', socket, '-o', output, '-a', '32', '-b', '1', '-X', login], {
      stdio: 'ignore',
    });
    await vi.waitFor(async () => expect((await fs.stat(output)).size).toBeGreaterThan(4_096), 15_000);
    child.kill('SIGTERM');
    await once(child, 'close');
    const bytes = await fs.readFile(output);
    expectNothingTwice(bytes);
    expect(served.status().bytes).toBeGreaterThanOrEqual(bytes.length);
    expect(served.status().details).toMatchObject({ protocolErrors: 0, failures: 0 });
  });
});

/**
 * ekeyd-egd-linux waits until /dev/random can be written, which since Linux 5.18 never comes, and credits what it gets. So two
 * calls of it are stood in for: poll says that the kernel wants bytes, and RNDADDENTROPY prints them.
 */
const KERNEL_THAT_WANTS_BYTES = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/random.h>
#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

int poll(struct pollfd *fds, nfds_t count, int timeout) {
  static int (*real)(struct pollfd *, nfds_t, int);
  if (!real) real = dlsym(RTLD_NEXT, "poll");
  if (count == 2 && fds[0].events & POLLOUT) {
    fds[0].revents = POLLOUT;
    fds[1].revents = 0;
    return 1;
  }
  return real(fds, count, timeout);
}

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  struct rand_pool_info *pool = va_arg(rest, struct rand_pool_info *);
  va_end(rest);
  (void)fd;
  if (request != RNDADDENTROPY) return -1;
  return write(STDOUT_FILENO, pool->buf, pool->buf_size) == pool->buf_size ? 0 : -1;
}
`;

needs('ekeyd-egd-linux', 'gcc')('ekeyd-egd-linux', () => {
  it('gets what it asks for over TCP, also what it asked for before the node was seeded', async () => {
    const [source, library] = [path.join(folder, 'kernel.c'), path.join(folder, 'kernel.so')];
    await fs.writeFile(source, KERNEL_THAT_WANTS_BYTES);
    const made = spawnSync('gcc', ['-shared', '-fPIC', '-o', library, source, '-ldl'], { encoding: 'utf8' });
    expect(made.stderr).toBe('');
    const served = await started('tcp:127.0.0.1:0');
    const port = String(served.status().details['listen']).split(':')[2] ?? '';
    child = spawn('ekeyd-egd-linux', ['-H', '127.0.0.1', '-p', port, '-b', '4'], {
      env: { ...process.env, LD_PRELOAD: library },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const parts: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => parts.push(chunk));
    await vi.waitFor(() => expect(served.status().details['requests']).toBeGreaterThan(0), 10_000);
    expect(parts).toEqual([]);
    node.seed();
    await vi.waitFor(() => expect(Buffer.concat(parts).length).toBeGreaterThan(8 * 512), 10_000);
    child.kill('SIGKILL');
    await once(child, 'close');
    expectNothingTwice(Buffer.concat(parts));
    expect(served.status().details).toMatchObject({ protocolErrors: 0, accepted: 1 });
  });
});
