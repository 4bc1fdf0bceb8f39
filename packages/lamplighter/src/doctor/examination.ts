import type { Environment } from '../local/environment.js';
import { systemNative } from '../local/native-doors.js';
import { addonFacts } from './addon-facts.js';
import { agentFacts } from './agent-facts.js';
import { certificateFacts } from './certificate-facts.js';
import { clockFacts } from './clock-facts.js';
import { cloneFacts } from './clone-facts.js';
import { type ConfigurationFiles, readConfigurations } from './configurations.js';
import { cpuFacts } from './cpu-facts.js';
import { type Fact, type Level, printable } from './fact.js';
import { hedgeFacts } from './hedge-facts.js';
import { kernelFacts } from './kernel-facts.js';
import { memoryFacts } from './memory-facts.js';
import { lookWith, type Probe } from './probe.js';
import { RELAY_DEADLINE_MS, relayFacts } from './relay-facts.js';
import { runtimeFacts } from './runtime-facts.js';
import { seedFacts } from './seed-facts.js';
import { sourceFacts } from './source-facts.js';
import { type Subject, systemRuntime } from './subject.js';

export type Verdict = 'good' | 'weak' | 'broken';

/** What was found out about a machine. */
export interface Examination {
  /** As bad as the worst fact. */
  readonly verdict: Verdict;
  readonly facts: readonly Fact[];
  /** What to do, the most important first; empty when it is good. */
  readonly actions: readonly string[];
}

/** Every probe, in the order in which facts are told; of two that are equally bad the earlier one is seen to first. */
export const PROBES: readonly Probe[] = [
  { id: 'kernel', look: kernelFacts },
  { id: 'cpu', look: cpuFacts },
  { id: 'machine', look: cloneFacts },
  { id: 'addon', look: addonFacts },
  { id: 'seed', look: seedFacts },
  { id: 'hedge', look: hedgeFacts },
  { id: 'clock', look: clockFacts },
  { id: 'certificate', look: certificateFacts },
  { id: 'relays', look: relayFacts, deadlineMs: RELAY_DEADLINE_MS + 1_000 },
  { id: 'agent', look: agentFacts },
  { id: 'memory', look: memoryFacts },
  { id: 'node', look: runtimeFacts },
  { id: 'source', look: sourceFacts, deadlineMs: 30_000 },
];

/**
 * Looks at this machine as somebody would who knows what can be wrong with it. One probe after the other, since some of them
 * measure time; none can stop the others, and all together end within the sum of their deadlines, some 70 s; usually 2 s.
 *
 * Changes nothing: no seed is used, nothing is written, nothing goes to the kernel; each relay of the agent gives one beacon.
 * @param options - `state`: the folder of the seed to look at, instead of the configurations' own
 */
export async function examineMachine(
  environment: Environment,
  options: { readonly files: ConfigurationFiles; readonly state?: string; readonly signal: AbortSignal },
): Promise<Examination> {
  const { files, state, signal } = options;
  const { found, facts } = await readConfigurations(environment, files);
  const subject: Subject = {
    environment,
    native: systemNative,
    runtime: systemRuntime(),
    ...(state !== undefined && { state }),
    ...found,
  };
  return await examine(subject, { already: facts, signal });
}

/**
 * The same for a subject that somebody has put together.
 * @param options - `already`: facts that are known before; `probes`: {@link PROBES} unless told
 */
export async function examine(
  subject: Subject,
  options: {
    readonly already?: readonly Fact[];
    readonly probes?: readonly Probe[];
    readonly signal: AbortSignal;
  },
): Promise<Examination> {
  const { already = [], probes = PROBES, signal } = options;
  const facts = [...already];
  for (const probe of probes) facts.push(...(await lookWith(probe, subject, signal)));
  return conclude(facts.map(printable));
}

/** The verdict on some facts, and what is to be done about them. */
export function conclude(facts: readonly Fact[]): Examination {
  const at = (level: Level): readonly Fact[] => facts.filter((fact) => fact.level === level);
  const [broken, weak] = [at('broken'), at('weak')];
  const verdict = broken.length > 0 ? 'broken' : weak.length > 0 ? 'weak' : 'good';
  const actions = [...broken, ...weak].flatMap(({ action }) => (action === undefined ? [] : [action]));
  return { verdict, facts, actions: [...new Set(actions)] };
}
