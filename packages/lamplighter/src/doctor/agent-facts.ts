import { LamplighterError } from '@lamplighter/core';
import { z } from 'zod';
import { residentAgent } from '../agent/report-file.js';
import type { Fact } from './fact.js';
import { textOf } from './machine-files.js';
import type { Subject } from './subject.js';

/** As in `agent/config.ts`. */
const DEFAULT_REPORT = '/run/lamplighter/agent.json';
const DEFAULT_REFRESH_MS = 600_000;
/** A refresh that failed is tried again within its period; jitter lengthens it by a half at most. */
const OVERDUE_PERIODS = 3;

/** What of an agent's report is looked at: no text, so that nobody who can write it can put words into ours. */
const report = z.object({
  version: z.literal(1),
  pid: z.int().min(1),
  at: z.iso.datetime(),
  resident: z.boolean(),
  last: z.object({
    seeded: z.boolean(),
    beacons: z.int().min(0),
    required: z.int().min(0),
    basis: z.array(z.enum(['simulated', 'degraded', 'physical'])).max(3),
    hedge: z.enum(['on', 'degraded', 'off']),
    hedgeReason: z.object({ code: z.string().regex(/^ERR_[A-Z_]{1,40}$/) }).optional(),
    clock: z.object({}).optional(),
  }),
});

type Report = z.output<typeof report>;

/** What the agent here did last, by its report, and whether it is still there. */
export async function agentFacts(subject: Subject): Promise<readonly Fact[]> {
  const { environment } = subject;
  const path = reportPath(subject);
  const text = await textOf(environment, path);
  if (text === undefined) {
    return [
      {
        id: 'agent',
        level: 'info',
        text: `no agent has left a report at ${path}`,
        values: { reported: false },
      },
    ];
  }
  const found = report.safeParse(jsonIn(text));
  if (!found.success) {
    return [
      {
        id: 'agent',
        level: 'weak',
        text: `${path} is not an agent’s report`,
        values: { reported: false },
        action: `See who writes there: \`ls -l ${path}\`.`,
      },
    ];
  }
  return [reportFact(subject, found.data, (await runningAgent(subject)) !== undefined)];
}

/** The process number of the agent that stays and runs now, by its report. */
export async function runningAgent(subject: Subject): Promise<number | undefined> {
  const path = reportPath(subject);
  // Also because reading what is no regular file may never end.
  if ((await textOf(subject.environment, path)) === undefined) return undefined;
  try {
    return await residentAgent(subject.environment, path);
  } catch (error) {
    if (!(error instanceof LamplighterError)) throw error;
    return undefined;
  }
}

const reportPath = ({ agent }: Subject): string => agent?.config.report ?? DEFAULT_REPORT;

function reportFact(
  { environment, agent }: Subject,
  { pid, at, resident, last }: Report,
  runs: boolean,
): Fact {
  const id = 'agent';
  const ageMs = Number(environment.realtimeNs() / 1_000_000n) - Date.parse(at);
  const { seeded, beacons, required, basis, hedge } = last;
  const values = {
    reported: true,
    at,
    resident,
    runs,
    seeded,
    beacons,
    required,
    basis: basis.join(','),
    hedge,
  };
  const who = resident ? `agent, process ${pid}` : 'agent that ran once';
  const done = `${seeded ? 'kernel seeded' : 'kernel not seeded'}, ${beacons} of ${required} beacons, hedge ${hedge}`;
  const text = `${who}, at ${at}: ${done}`;
  const start = `\`lamplighter agent --config ${agent?.file ?? 'FILE'}\``;
  if (resident && !runs) {
    return {
      id,
      level: 'weak',
      text: `${text}; it is gone`,
      values,
      action: `Start the agent again: ${start}.`,
    };
  }
  const overdueMs = OVERDUE_PERIODS * (agent?.config.refreshMs ?? DEFAULT_REFRESH_MS);
  if (runs && ageMs > overdueMs) {
    return {
      id,
      level: 'weak',
      text: `${text}; nothing since, ${Math.round(ageMs / 60_000)} minutes`,
      values,
      action: `See why the agent does not refresh, and start it again: ${start}.`,
    };
  }
  const lacks = [
    ...(seeded ? [] : ['the kernel was not seeded']),
    ...(beacons >= required ? [] : ['too few beacons']),
    ...(hedge === 'on' ? [] : [`the hedge was ${hedge}${codeIn(last.hedgeReason)}`]),
    ...basis.filter((word) => word !== 'physical').map((word) => `the beacons were ${word}`),
    ...(last.clock === undefined ? [] : ['the clock could not be right']),
  ];
  if (lacks.length === 0) return { id, level: 'ok', text, values };
  return {
    id,
    level: 'weak',
    text: `${text}; ${lacks.join(', ')}`,
    values,
    action: `See what the agent says of its last boot: ${start.slice(0, -1)} --once\`.`,
  };
}

const codeIn = (reason: { readonly code: string } | undefined): string =>
  reason === undefined ? '' : ` [${reason.code}]`;

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
