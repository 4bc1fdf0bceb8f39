import { afterEach, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { writeReport } from '../agent/report-file.js';
import type { BootReport } from '../agent/boot.js';
import { agentFacts } from './agent-facts.js';
import type { Fact } from './fact.js';
import { LaidOutMachine, MACHINES } from './machine.fixture.js';
import { memoryFacts } from './memory-facts.js';

const REPORT = '/run/lamplighter/agent.json';
const GOOD: BootReport = {
  seeded: true,
  beacons: 2,
  required: 1,
  relays: [],
  sources: {},
  kernel: { device: '/dev/random', bytesWritten: 64, call: 'write', creditedBits: 0, reseeded: false },
  basis: ['physical'],
  hedge: 'on',
  seed: { folded: true },
  tookMs: 100,
};

const machines: LaidOutMachine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.remove();
});

function machine(): LaidOutMachine {
  const made = new LaidOutMachine(MACHINES.microvm);
  machines.push(made);
  return made;
}

/** The report as an agent in this very process would have written it. */
async function reported(resident: boolean, last: Partial<BootReport> = {}): Promise<LaidOutMachine> {
  const made = machine();
  await writeReport(systemEnvironment(), made.at(REPORT), { resident, last: { ...GOOD, ...last } });
  return made;
}

/** Our own entries in /proc, as the laid-out machine shows them. */
async function showProcess(made: LaidOutMachine, limits: string): Promise<void> {
  const { fs } = systemEnvironment();
  made.write(`/proc/${process.pid}/stat`, await fs.readFile(`/proc/${process.pid}/stat`, 'latin1'));
  made.write(`/proc/${process.pid}/limits`, limits);
}

async function agentFact({ subject }: LaidOutMachine): Promise<Fact | undefined> {
  return (await agentFacts(subject))[0];
}

describe('the agent’s report', () => {
  it('is none on a machine without an agent', async () => {
    expect(await agentFact(machine())).toMatchObject({
      id: 'agent',
      level: 'info',
      values: { reported: false },
    });
  });

  it('of a good boot is good', async () => {
    expect(await agentFact(await reported(false))).toMatchObject({
      level: 'ok',
      values: { resident: false, seeded: true, beacons: 2, hedge: 'on', basis: 'physical' },
    });
  });

  it.each<[string, Partial<BootReport>, string]>([
    ['without the kernel', { seeded: false }, 'the kernel was not seeded'],
    ['with too few beacons', { beacons: 0 }, 'too few beacons'],
    [
      'with the hedge off',
      { hedge: 'off', hedgeReason: { code: 'ERR_HEDGE_OFF', message: 'x' } },
      'off [ERR_HEDGE_OFF]',
    ],
    ['of simulated beacons', { basis: ['simulated'] }, 'the beacons were simulated'],
    [
      'with an impossible clock',
      { clock: { code: 'ERR_CLOCK', message: 'x' } },
      'the clock could not be right',
    ],
  ])('of a boot %s is weak', async (_, last, words) => {
    const fact = await agentFact(await reported(false, last));
    expect(fact?.level).toBe('weak');
    expect(fact?.text).toContain(words);
    expect(fact?.action).toContain('lamplighter agent --config FILE --once');
  });

  it('of an agent that stays is good while it runs and refreshes', async () => {
    const made = await reported(true);
    expect(await agentFact(made)).toMatchObject({ level: 'weak', values: { runs: false } });
    await showProcess(made, '');
    expect(await agentFact(made)).toMatchObject({ level: 'ok', values: { runs: true } });
    const { environment } = made.subject;
    const at = BigInt(Date.parse(String((await agentFact(made))?.values?.['at'])));
    const later = { ...environment, realtimeNs: () => (at + 1_860_000n) * 1_000_000n };
    const [late] = await agentFacts({ ...made.subject, environment: later });
    expect(late?.text).toContain('nothing since, 31 minutes');
    expect(late?.level).toBe('weak');
  });

  it.each([
    '',
    '{',
    '{"version":1}',
    '[]',
    'null',
    JSON.stringify({ version: 1, pid: 2, at: 'never', resident: true }),
  ])('is none when it says %s', async (text) => {
    const made = machine();
    made.write(REPORT, text);
    expect(await agentFact(made)).toMatchObject({ level: 'weak', values: { reported: false } });
  });
});

describe('core files', () => {
  const line = (limit: string): string => `Max core file size        ${limit}       unlimited      bytes\n`;

  it('of the agent that runs are weak', async () => {
    const made = await reported(true);
    await showProcess(made, line('unlimited'));
    const [fact] = await memoryFacts(made.subject);
    expect(fact).toMatchObject({ id: 'memory.dumps', level: 'weak', values: { limit: 'unlimited' } });
    expect(fact?.action).toContain('ulimit -c 0');
    await showProcess(made, line('0'));
    expect(await memoryFacts(made.subject)).toMatchObject([{ level: 'info', values: { limit: '0' } }]);
  });

  it('of what might be started are only said', async () => {
    const made = machine();
    made.write('/proc/self/limits', line('unlimited'));
    expect(await memoryFacts(made.subject)).toMatchObject([
      { level: 'info', values: { limit: 'unlimited' } },
    ]);
  });
});
