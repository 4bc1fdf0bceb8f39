import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Sampler } from './sampler.js';

const bytes = (text: string) => Buffer.from(text);
const hex = (answer: Uint8Array | undefined) => answer && Buffer.from(answer).toString('hex');
const sha512 = (text: string) => createHash('sha512').update(text).digest('hex');
const never = new AbortController().signal;

describe('Sampler', () => {
  it('answers with a hash over everything heard since the last answer', async () => {
    const sampler = new Sampler();
    sampler.hear(bytes('one'));
    sampler.hear(bytes('two'));
    expect(hex(await sampler.sample(never))).toBe(sha512('onetwo'));
    sampler.hear(bytes('three'));
    expect(hex(await sampler.sample(never))).toBe(sha512('three'));
  });

  it('waits for the next bytes when nothing was heard, one answer for one hearing', async () => {
    const sampler = new Sampler();
    const first = sampler.sample(never);
    const second = sampler.sample(never);
    sampler.hear(bytes('one'));
    expect(hex(await first)).toBe(sha512('one'));
    sampler.hear(bytes('two'));
    expect(hex(await second)).toBe(sha512('two'));
  });

  it('holds nobody up while there is nobody to hear, and answers again once there is', async () => {
    const sampler = new Sampler();
    const waiting = sampler.sample(never);
    sampler.absent();
    expect(await waiting).toBeUndefined();
    expect(await sampler.sample(never)).toBeUndefined();
    sampler.hear(bytes('one'));
    expect(hex(await sampler.sample(never))).toBe(sha512('one'));
    const next = sampler.sample(never);
    sampler.hear(bytes('two'));
    expect(hex(await next)).toBe(sha512('two'));
  });

  it('gives up at the deadline and at the end, and hurts nobody else who waits', async () => {
    const sampler = new Sampler();
    const deadline = new AbortController();
    const late = sampler.sample(deadline.signal);
    const patient = sampler.sample(never);
    deadline.abort();
    expect(await late).toBeUndefined();
    expect(await sampler.sample(AbortSignal.abort())).toBeUndefined();
    sampler.hear(bytes('one'));
    expect(hex(await patient)).toBe(sha512('one'));
    sampler.hear(bytes('two'));
    expect(await sampler.sample(AbortSignal.abort())).toBeUndefined();
    expect(hex(await sampler.sample(never))).toBe(sha512('two'));
  });

  it('gives what is left after the end, and nothing once it is closed', async () => {
    const sampler = new Sampler();
    const waiting = sampler.sample(never);
    sampler.end();
    expect(await waiting).toBeUndefined();
    sampler.hear(bytes('one'));
    expect(hex(await sampler.sample(never))).toBe(sha512('one'));
    expect(await sampler.sample(never)).toBeUndefined();
    sampler.hear(bytes('two'));
    sampler.close();
    expect(await sampler.sample(never)).toBeUndefined();
  });
});
