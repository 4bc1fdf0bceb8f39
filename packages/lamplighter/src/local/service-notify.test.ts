import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { needs } from '../needs.fixture.js';
import { type FixedEnvironment, fixedEnvironment } from './fixed-environment.fixture.js';
import { ServiceManagerSocket } from './service-manager.fixture.js';
import { serviceNotifier, type ServiceManagerVariables, type ServiceNotifier } from './service-notify.js';

const EXTEND = 'EXTEND_TIMEOUT_USEC=60000000';

let environment: FixedEnvironment;
/** Every child that was started, with what it was given. */
let children: { child: ChildProcess; args: readonly string[]; options: SpawnOptions }[];
let faults: LamplighterError[];
let text: string;
let service: ServiceNotifier;

beforeEach(() => {
  environment = fixedEnvironment();
  children = [];
  faults = [];
  text = 'starting';
});
afterEach(async () => {
  const stopped = service.stop();
  environment.advance(500);
  await stopped;
});

/** @param program - speaks in the place of systemd-notify; `undefined`: the real one */
function notifier(
  variables: ServiceManagerVariables,
  program?: readonly [string, ...string[]],
): ServiceNotifier {
  const counted = {
    ...environment,
    spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
      const [other = command, ...otherArgs] = program ?? [];
      const child = spawn(other, program === undefined ? args : otherArgs, options);
      children.push({ child, args, options });
      return child;
    },
  };
  service = serviceNotifier({
    environment: counted,
    variables,
    pid: 42,
    describe: () => text,
    onFault: (error) => faults.push(error),
  });
  return service;
}

const lastChild = (): ChildProcess => {
  const last = children.at(-1);
  if (last === undefined) throw new Error('no child was started');
  return last.child;
};

it('does nothing where no service manager listens', async () => {
  for (const NOTIFY_SOCKET of [undefined, '']) {
    notifier({ NOTIFY_SOCKET, WATCHDOG_USEC: '1000000' });
    service.ready();
    service.reloading(Promise.resolve());
    environment.advance(600_000);
    service.stopping();
    await service.stop();
  }
  expect(children).toEqual([]);
  expect(faults).toEqual([]);
});

needs('python3', 'systemd-notify')('with a service manager', () => {
  let manager: ServiceManagerSocket;
  beforeEach(async () => {
    manager = await ServiceManagerSocket.listen();
  });
  afterEach(() => manager.end());

  const start = (more: ServiceManagerVariables = {}): ServiceNotifier =>
    notifier({ NOTIFY_SOCKET: manager.path, ...more });
  /** Waits until so many words were said, and whoever said them is gone: the next may speak at once. */
  const said = async (count: number): Promise<void> => {
    await manager.until(({ words }) => words.length >= count);
    const { child } = children[count - 1] ?? {};
    if (child !== undefined && child.exitCode === null) await once(child, 'exit');
  };

  it('puts the end of its start off until it is ready, then feeds the watchdog at half its period', async () => {
    start({ WATCHDOG_USEC: '20000000', WATCHDOG_PID: '42' });
    await said(1);
    text = 'starting: the camera is missing';
    environment.advance(5_000);
    await said(2);
    environment.advance(4_999);
    text = 'ready';
    service.ready();
    service.ready();
    await said(3);
    environment.advance(9_999);
    expect(children).toHaveLength(3);
    environment.advance(1);
    await said(4);
    text = 'degraded';
    environment.advance(10_000);
    await said(5);
    expect(manager.words).toEqual([
      [EXTEND, 'STATUS=starting'],
      [EXTEND, 'STATUS=starting: the camera is missing'],
      ['READY=1', 'STATUS=ready'],
      ['WATCHDOG=1'],
      ['WATCHDOG=1', 'STATUS=degraded'],
    ]);
    service.stopping();
    await said(6);
    environment.advance(600_000);
    await service.stop();
    expect(manager.words.slice(5)).toEqual([['STOPPING=1', 'STATUS=stopping']]);
    expect(faults).toEqual([]);
  });

  it('without a watchdog speaks only when there is something new', async () => {
    start();
    await said(1);
    service.ready();
    await said(2);
    environment.advance(60_000);
    expect(children).toHaveLength(2);
    text = 'degraded';
    environment.advance(15_000);
    await said(3);
    expect(manager.words.at(-1)).toEqual(['STATUS=degraded']);
  });

  it('says when it follows a new configuration, and that it is ready when none is under way', async () => {
    let end = (): void => undefined;
    const slow = new Promise<void>((resolve) => {
      end = resolve;
    });
    start();
    // Not ready: a reload makes no service ready.
    service.reloading(Promise.resolve());
    await said(1);
    service.ready();
    await said(2);
    environment.advance(1_234);
    service.reloading(slow);
    await said(3);
    service.reloading(Promise.reject(new Error('not good')));
    await said(4);
    expect(manager.count('READY=1')).toBe(1);
    text = 'ready; the new configuration is not followed';
    end();
    await said(5);
    expect(manager.words.slice(2)).toEqual([
      ['RELOADING=1', 'MONOTONIC_USEC=2234000'],
      ['RELOADING=1', 'MONOTONIC_USEC=2234000'],
      ['READY=1', 'STATUS=ready; the new configuration is not followed'],
    ]);
    service.stopping();
    service.reloading(Promise.resolve());
    await said(6);
    await service.stop();
    expect(manager.words.at(-1)).toEqual(['STOPPING=1', 'STATUS=stopping']);
  });

  it('a status is one line, whatever is in it', async () => {
    text = `waits\nREADY=1\0\r\u0085${'x'.repeat(1_000)}`;
    start();
    await said(1);
    expect(manager.words).toEqual([[EXTEND, `STATUS=waits READY=1   ${'x'.repeat(240)}`]]);
  });

  it('gives its child a path and the socket, and nothing else of ours', async () => {
    start();
    await said(1);
    expect(children[0]?.options).toMatchObject({
      stdio: 'ignore',
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', NOTIFY_SOCKET: manager.path },
    });
  });

  it('leaves the watchdog of another process alone', async () => {
    start({ WATCHDOG_USEC: '20000000', WATCHDOG_PID: '43' });
    await said(1);
    service.ready();
    await said(2);
    environment.advance(600_000);
    expect(children).toHaveLength(2);
    expect(faults).toEqual([]);
  });

  it.each(['never', '-1', '1e9', '0'])(
    'says that it cannot feed a watchdog every %s',
    async (WATCHDOG_USEC) => {
      start({ WATCHDOG_USEC });
      service.ready();
      await said(2);
      expect(faults.map(({ message }) => message)).toEqual([
        'WATCHDOG_USEC is no number of microseconds: the watchdog is not fed',
      ]);
    },
  );
});

it('says once that systemd-notify is missing, and does not look for it again', async () => {
  notifier({ NOTIFY_SOCKET: '/nowhere', WATCHDOG_USEC: '1000000' }, ['/nowhere/systemd-notify']);
  await once(lastChild(), 'error');
  service.ready();
  environment.advance(600_000);
  service.stopping();
  await service.stop();
  expect(children).toHaveLength(1);
  expect(faults.map(({ code, message }) => [code, message])).toEqual([
    ['ERR_CHILD_FAILED', 'systemd-notify could not be started: systemd does not hear how this service does'],
  ]);
});

it('says once that systemd-notify fails, and tries again with the next word', async () => {
  notifier({ NOTIFY_SOCKET: '/nowhere', WATCHDOG_USEC: '1000000' }, ['false']);
  await once(lastChild(), 'exit');
  service.ready();
  await once(lastChild(), 'exit');
  environment.advance(500);
  await once(lastChild(), 'exit');
  expect(children.map(({ args }) => args[0])).toEqual([EXTEND, 'READY=1', 'WATCHDOG=1']);
  expect(faults.map(({ message }) => message)).toEqual(['systemd-notify ended with code 1 after 0 ms']);
});

it('one that hangs is ended, holds up nobody, and only the newest words wait', async () => {
  notifier({ NOTIFY_SOCKET: '/nowhere', WATCHDOG_USEC: '1000000' }, ['sleep', '600']);
  const hung = lastChild();
  service.ready();
  for (let count = 0; count < 1_000; count += 1) service.reloading(Promise.resolve());
  environment.advance(4_999);
  expect(children).toHaveLength(1);
  environment.advance(1);
  expect(await once(hung, 'exit')).toEqual([null, 'SIGKILL']);
  expect(faults.map(({ message }) => message)).toEqual(['systemd-notify ended by SIGKILL after 5000 ms']);
  expect(children).toHaveLength(2);
  // Each of the next hangs as well.
  for (const word of ['RELOADING=1', 'READY=1', 'WATCHDOG=1']) {
    const child = lastChild();
    expect(children.at(-1)?.args[0]).toBe(word);
    environment.advance(5_000);
    await once(child, 'exit');
  }
  expect(faults).toHaveLength(1);
});

it('ends the child that hangs when it stops', async () => {
  notifier({ NOTIFY_SOCKET: '/nowhere' }, ['sleep', '600']);
  const hung = lastChild();
  service.stopping();
  const stopped = service.stop();
  environment.advance(500);
  await stopped;
  expect(await once(hung, 'exit')).toEqual([null, 'SIGKILL']);
  expect(children.every(({ child }) => child.killed)).toBe(true);
});
