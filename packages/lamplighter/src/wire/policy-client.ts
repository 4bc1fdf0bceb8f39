import { LamplighterError } from '@lamplighter/core';
import type { Policy } from '../identity/policy.js';
import type { Environment } from '../local/environment.js';
import { keepTrying } from '../local/retry.js';
import { request, type Upstream } from './client.js';
import { MAX_POLICY_LINE_BYTES, POLICY_CONTENT_TYPE, POLICY_HEARTBEAT_MS, POLICY_PATH } from './policy.js';
import { PolicyReader } from './policy-reader.js';
import { refusalOf } from './refusal.js';

/** Short, because what was revoked meanwhile is not known here. */
const BACK_OFF = { minMs: 250, maxMs: 5_000 };
const RESPONSE_DEADLINE_MS = 10_000;
/** Three heartbeats. */
const STALL_MS = 3 * POLICY_HEARTBEAT_MS;
/** From the answer's headers to the end of the whole policy. */
const WHOLE_DEADLINE_MS = 60_000;
const LINE_FEED = 0x0a;

/**
 * Follows an authority's policy until told to stop: asks for it, hears of every change, and asks again when the connection is lost.
 *
 * Nothing is believed before the whole policy is here; nothing is taken back when it can no longer be had.
 * @param upstream - the authority; `roles` says who may be one
 * @param listener - `onPolicy`: the policy to believe from now on, also when it is the same as before; `onFault`: why it cannot be
 *   followed now
 * @returns resolves when the signal has fired; never rejects
 */
export function followPolicy(
  upstream: Upstream,
  listener: {
    readonly environment: Environment;
    readonly onPolicy: (policy: Policy) => void;
    readonly onFault: (error: unknown) => void;
  },
  signal: AbortSignal,
): Promise<void> {
  const { environment, onPolicy, onFault } = listener;
  return keepTrying((attempt) => follow(upstream, environment, onPolicy, attempt), {
    environment,
    signal,
    onFault,
    ...BACK_OFF,
  });
}

/** One connection, from request to its end. Always throws: a policy has no end. */
async function follow(
  upstream: Upstream,
  environment: Environment,
  onPolicy: (policy: Policy) => void,
  signal: AbortSignal,
): Promise<never> {
  const response = await request(upstream, {
    method: 'GET',
    path: POLICY_PATH,
    deadlineMs: RESPONSE_DEADLINE_MS,
    signal,
  });
  const { body, status, headers } = response;
  if (status !== 200) throw await refusalOf(response, signal);
  let why: LamplighterError | undefined;
  const giveUp = (message: string) => (): void => {
    why = new LamplighterError('ERR_DEADLINE', message);
    body.destroy();
  };
  const stall = giveUp(`the authority has said nothing for ${STALL_MS} ms`);
  let silence = environment.timers.after(STALL_MS, stall);
  const whole = environment.timers.after(
    WHOLE_DEADLINE_MS,
    giveUp(`the authority has not told its whole policy within ${WHOLE_DEADLINE_MS} ms`),
  );
  const reader = new PolicyReader();
  const lines = new Lines();
  try {
    if (headers['content-type'] !== POLICY_CONTENT_TYPE) {
      throw new LamplighterError(
        'ERR_UPSTREAM_PROTOCOL',
        'the authority answered with something that is no policy',
      );
    }
    for await (const chunk of body as AsyncIterable<Buffer>) {
      for (const line of lines.push(chunk)) {
        const policy = reader.read(line);
        // Only what was understood is a sign of life.
        silence.cancel();
        silence = environment.timers.after(STALL_MS, stall);
        if (policy === undefined) continue;
        whole.cancel();
        onPolicy(policy);
      }
    }
  } catch (error) {
    if (why !== undefined) throw why;
    if (error instanceof LamplighterError) throw error;
    throw new LamplighterError('ERR_UPSTREAM_UNREACHABLE', 'the connection to the authority was lost', {
      cause: error,
    });
  } finally {
    silence.cancel();
    whole.cancel();
    body.destroy();
  }
  throw why ?? new LamplighterError('ERR_UPSTREAM_UNREACHABLE', 'the authority ended the connection');
}

/** Cuts bytes into lines. Holds less than one. */
class Lines {
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** @throws LamplighterError ERR_UPSTREAM_PROTOCOL as soon as a line is longer than it may be */
  *push(chunk: Buffer): Generator<string, void, undefined> {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      this.#hold(chunk.subarray(from, end));
      from = end + 1;
      const line = Buffer.concat(this.#held).toString('utf8');
      this.#held = [];
      this.#heldBytes = 0;
      yield line;
    }
    this.#hold(chunk.subarray(from));
  }

  #hold(bytes: Buffer): void {
    this.#heldBytes += bytes.length;
    if (this.#heldBytes >= MAX_POLICY_LINE_BYTES) {
      throw new LamplighterError(
        'ERR_UPSTREAM_PROTOCOL',
        `the authority sent a line of more than ${MAX_POLICY_LINE_BYTES} bytes`,
      );
    }
    if (bytes.length > 0) this.#held.push(bytes);
  }
}
