import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { duplexPair } from './duplex-pair.fixture.js';
import { firstLine, guestInRequest, isGuestName, tellResumed } from './guest-resumed.js';

describe('a request', () => {
  it.each(['a', 'web-1', 'domain-7-web', 'Vm_1.x@y+z', 'x'.repeat(100)])('names the guest %s', (name) => {
    expect(isGuestName(name)).toBe(true);
    expect(guestInRequest(`resumed ${name}`)).toBe(name);
  });

  it.each(['', '-v', '../x', 'a b', 'a\0', 'é', 'x'.repeat(101), '.hidden'])('does not name %j', (name) => {
    expect(isGuestName(name)).toBe(false);
    expect(guestInRequest(`resumed ${name}`)).toBeUndefined();
  });

  it.each(['', 'resumed', 'RESUMED a', 'resumed a b', 'cloned a', ' resumed a'])('is not %j', (line) => {
    expect(guestInRequest(line)).toBeUndefined();
  });
});

describe('who tells', () => {
  it.each([
    ['1\n', 1],
    ['0\n', 0],
    ['12\n', 12],
  ])('hears %j', async (answer, lines) => {
    const [ours, theirs] = duplexPair();
    const asked = firstLine(theirs);
    const told = tellResumed(ours, 'web');
    expect(await asked).toBe('resumed web');
    theirs.write(answer);
    expect(await told).toBe(lines);
    expect(ours.destroyed).toBe(true);
  });

  it('hears that the node is not ready', async () => {
    const [ours, theirs] = duplexPair();
    const told = tellResumed(ours, 'web');
    theirs.end('not ready\n');
    await expect(told).rejects.toMatchObject({ code: 'ERR_NOT_SEEDED' });
  });

  it.each(['hello\n', 'x'.repeat(1_000), '-1\n', '1e3\n'])('refuses the answer %j', async (answer) => {
    const [ours, theirs] = duplexPair();
    theirs.on('error', () => undefined);
    const told = tellResumed(ours, 'web');
    theirs.write(answer);
    await expect(told).rejects.toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
  });

  it('hears nothing from who closes', async () => {
    const [ours, theirs] = duplexPair();
    const told = tellResumed(ours, 'web');
    theirs.destroy();
    ours.destroy();
    await expect(told).rejects.toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
  });

  it('sends nothing for a name that is none', async () => {
    const connection = new PassThrough();
    await expect(tellResumed(connection, 'a\nresumed b')).rejects.toMatchObject({ code: 'ERR_USAGE' });
    expect(connection.readableLength).toBe(0);
    expect(connection.destroyed).toBe(true);
  });
});
