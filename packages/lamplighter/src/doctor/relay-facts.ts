import type { AgentConfig } from '../agent/config.js';
import type { TlsMaterial } from '../identity/tls-files.js';
import { basisToWords } from '../wire/basis.js';
import { CLIENT_NONCE_LENGTH_BYTES, type FetchedBeacon, fetchBeacon } from '../wire/beacon.js';
import { reasonOf } from '../wire/reason.js';
import { type Fact, actionFrom } from './fact.js';
import { loadOwnTls } from './own-tls.js';
import type { Subject } from './subject.js';

type Relay = AgentConfig['relays'][number];

/** The longest that {@link relayFacts} takes, whatever deadline is configured. */
export const RELAY_DEADLINE_MS = 10_000;

/**
 * Whether each relay of the agent gives a beacon, now, and what it says of it. All are asked at once; what they give is wiped.
 *
 * These connections have no hedge: it would use up the seed, and nothing that an attacker could read of them is ever used.
 */
export async function relayFacts(subject: Subject, signal: AbortSignal): Promise<readonly Fact[]> {
  const { agent } = subject;
  if (agent === undefined) return [];
  const { config, file } = agent;
  const tls = await loadOwnTls(subject.environment, config.tls).catch(() => undefined);
  if (tls === undefined) {
    return [{ id: 'relays', level: 'broken', text: 'none can be asked without a certificate and its key' }];
  }
  const answers = await Promise.all(config.relays.map((relay) => ask(relay, config, tls, subject, signal)));
  return [summary(answers, config.require, file), ...answers.map((answer) => relayFact(answer))];
}

/** What one relay did when it was asked. */
interface Answer {
  readonly relay: Relay;
  readonly tookMs: number;
  readonly beacon?: Omit<FetchedBeacon, 'bytes'>;
  readonly error?: unknown;
}

async function ask(
  relay: Relay,
  { deadlineMs }: AgentConfig,
  tls: TlsMaterial,
  { environment }: Subject,
  signal: AbortSignal,
): Promise<Answer> {
  const startedNs = environment.monotonicNs();
  const tookMs = (): number => Number((environment.monotonicNs() - startedNs) / 1_000n) / 1_000;
  const { url, peer } = relay;
  try {
    const { bytes, ...beacon } = await fetchBeacon(
      {
        url: new URL(url),
        tls,
        roles: ['relay'],
        connect: (endpoint) => environment.connect(endpoint),
        ...(peer === undefined ? {} : { name: peer }),
      },
      {
        nonce: environment.runtimeRandom(CLIENT_NONCE_LENGTH_BYTES),
        deadlineMs: Math.min(deadlineMs, RELAY_DEADLINE_MS),
        signal,
      },
    );
    bytes.fill(0);
    return { relay, tookMs: tookMs(), beacon };
  } catch (error) {
    return { relay, tookMs: tookMs(), error };
  }
}

function summary(answers: readonly Answer[], required: number, file: string): Fact {
  const id = 'relays';
  const answered = answers.filter(({ beacon }) => beacon !== undefined).length;
  const values = { configured: answers.length, answered, required };
  const text = `${answered} of ${answers.length} gave a beacon, ${required} required`;
  if (answered === 0) {
    const action = `Start a relay, or name one that runs in ${file}: \`lamplighter agent --once --config ${file}\` tries again.`;
    return { id, level: 'broken', text, values, action };
  }
  if (answered < required) {
    return {
      id,
      level: 'weak',
      text,
      values,
      action: `Bring back the relays that do not answer, or lower \`require\` in ${file}.`,
    };
  }
  return { id, level: 'ok', text, values };
}

function relayFact({ relay, tookMs, beacon, error }: Answer): Fact {
  const id = `relay.${relay.name}`;
  if (beacon === undefined) {
    const { code, message, hint } = reasonOf(error);
    return {
      id,
      level: 'weak',
      text: `${message} [${code}]`,
      values: { answered: false, code, tookMs },
      ...(hint !== undefined && { action: `For relay ${relay.name} at ${relay.url}: ${actionFrom(hint)}` }),
    };
  }
  const basis = basisToWords(beacon.basis);
  const { role, name } = beacon.relay;
  const group = beacon.group;
  const values = {
    answered: true,
    tookMs,
    role,
    name,
    group: group ?? 'not told',
    hybrid: group === undefined ? 'not told' : group.includes('MLKEM'),
    basis: basis.join(','),
  };
  const claims = basis.length === 0 ? 'nothing claimed' : basis.join(', ');
  const key = group ?? 'a group that this Node does not name';
  const text = `${role} ${name} in ${tookMs.toFixed(0)} ms by ${key}; its basis: ${claims}`;
  if (!beacon.basis.simulated && !beacon.basis.degraded) return { id, level: 'ok', text, values };
  return {
    id,
    level: 'weak',
    text,
    values,
    action: `See what is wrong at relay ${relay.name}, on that machine: \`curl http://127.0.0.1:9600/v1/status\`.`,
  };
}
