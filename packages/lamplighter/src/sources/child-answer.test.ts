import type { ChildProcess } from 'node:child_process';
import { describe, expect, it, vi } from 'vitest';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { WITHIN } from '../within.fixture.js';
import { type ChildLimits, ShortChild } from './child-answer.js';
import { findProgram } from './find-program.js';

const LIMITS: ChildLimits = { deadlineMs: 10_000, maxBytes: 64, signal: new AbortController().signal };

/** The real machine, with a list of its children; `kills` false makes them deaf to us. */
function watched() {
  const system = systemEnvironment();
  const children: ChildProcess[] = [];
  const kill = { works: true };
  const environment: Environment = {
    ...system,
    spawn(command, args, options) {
      const child = system.spawn(command, args, options);
      const really = child.kill.bind(child);
      child.kill = (signal) => (kill.works ? really(signal) : true);
      children.push(child);
      return child;
    },
  };
  return { environment, children, kill };
}

async function program(name: string): Promise<string> {
  const found = await findProgram(name, systemEnvironment());
  if (found === undefined) throw new Error(`this test needs ${name}`);
  return found;
}

describe('ShortChild', () => {
  it('gives what a program said, how it ended, and the end of its complaint', async () => {
    const child = new ShortChild(systemEnvironment());
    const script = 'printf hello; echo first >&2; printf "last \\001 line\\n" >&2; exit 3';
    const answer = await child.run(await program('sh'), ['-c', script], LIMITS);
    expect(Buffer.from(answer.bytes).toString()).toBe('hello');
    expect(answer).toMatchObject({ how: 'code 3', complaint: 'last ? line' });
    expect(answer.bytes.buffer.byteLength).toBe(5);
  });

  it('ends a program that says too much', async () => {
    const { environment, children } = watched();
    const answer = new ShortChild(environment).run(await program('cat'), ['/dev/zero'], LIMITS);
    await expect(answer).rejects.toMatchObject({ code: 'ERR_CHILD_FAILED' });
    expect(children[0]?.signalCode).toBe('SIGKILL');
  });

  it('ends a program at its deadline, and one whose signal fires', async () => {
    const { environment, children } = watched();
    const short = new ShortChild(environment);
    const sleep = await program('sleep');
    const late = short.run(sleep, ['3600'], { ...LIMITS, deadlineMs: 50 });
    await expect(late).rejects.toMatchObject({ code: 'ERR_DEADLINE' });
    const stopping = new AbortController();
    const stopped = short.run(sleep, ['3600'], { ...LIMITS, signal: stopping.signal });
    await vi.waitFor(() => expect(children).toHaveLength(2), WITHIN);
    stopping.abort();
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
    expect(children.map(({ signalCode }) => signalCode)).toEqual(['SIGKILL', 'SIGKILL']);
  });

  it('runs one child at a time', async () => {
    const { environment, children } = watched();
    const short = new ShortChild(environment);
    const cat = await program('cat');
    let most = 0;
    const spawn = environment.spawn.bind(environment);
    const counting: Environment['spawn'] = (...args) => {
      const alive = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
      most = Math.max(most, alive.length + 1);
      return spawn(...args);
    };
    environment.spawn = counting;
    await Promise.all(Array.from({ length: 5 }, () => short.run(cat, ['/dev/null'], LIMITS)));
    expect(children).toHaveLength(5);
    expect(most).toBe(1);
  });

  it('a program that is not there is named', async () => {
    const answer = new ShortChild(systemEnvironment()).run('/no/such/program', [], LIMITS);
    // With setpriv it is setpriv that says so, and ends.
    const said = await answer.then(
      ({ how }) => how,
      (error: unknown) => String(error),
    );
    expect(said).not.toBe('code 0');
  });

  it('one that cannot be killed is left behind, and no other is started before it is gone', async () => {
    const { environment, children, kill } = watched();
    const short = new ShortChild(environment);
    const sleep = await program('sleep');
    kill.works = false;
    const late = short.run(sleep, ['3600'], { ...LIMITS, deadlineMs: 20 });
    await expect(late).rejects.toMatchObject({
      code: 'ERR_DEADLINE',
      message: 'sleep gave no answer in 20 ms',
    });
    const next = short.run(sleep, ['0'], LIMITS);
    await expect(next).rejects.toMatchObject({ message: 'the sleep before cannot be ended' });
    expect(children).toHaveLength(1);

    kill.works = true;
    children[0]?.kill('SIGKILL');
    await vi.waitFor(async () => expect((await short.run(sleep, ['0'], LIMITS)).how).toBe('code 0'), WITHIN);
  });
});
