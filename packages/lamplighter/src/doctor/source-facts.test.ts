import { afterEach, describe, expect, it } from 'vitest';
import { unable } from '../local/ability.js';
import { nodeConfig } from '../node/config.js';
import { knownKinds } from './known-sources.js';
import { LaidOutMachine, MACHINES } from './machine.fixture.js';
import { sourceFacts } from './source-facts.js';
import type { Subject } from './subject.js';

const never = new AbortController().signal;
const machines: LaidOutMachine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.remove();
});

function machine(): LaidOutMachine {
  const made = new LaidOutMachine(MACHINES.microvm);
  machines.push(made);
  return made;
}

async function look(subject: Subject) {
  return new Map((await sourceFacts(subject, never)).map((fact) => [fact.id, fact]));
}

describe('sources', () => {
  it(
    'that need nothing are each asked once, but none that asks somebody outside',
    { timeout: 60_000 },
    async () => {
      const facts = await look(machine().subject);
      const needless = knownKinds().filter(({ needs }) => needs.length === 0);
      const expected = needless.map(({ kind }) => `source.${kind}`).filter((id) => id !== 'source.public');
      expect([...facts.keys()]).toEqual([...expected, 'source.camera']);
      expect(facts.get('source.os')).toMatchObject({ level: 'ok', values: { state: 'ok', bytes: 64 } });
      expect(facts.get('source.whirlwind')?.level).toBe('ok');
      // This machine has neither, which is no fault.
      for (const id of ['source.cpu', 'source.hwrng', 'source.tpm']) {
        expect(facts.get(id)).toMatchObject({ level: 'info', values: { state: 'absent' } });
      }
    },
  );

  it('that fail are weak, with what to do', async () => {
    const { subject } = machine();
    const osRandom = (): never => {
      throw new Error('gone');
    };
    const facts = await look({ ...subject, environment: { ...subject.environment, osRandom } });
    const os = facts.get('source.os');
    expect(os).toMatchObject({ level: 'weak', values: { state: 'failed' } });
    expect(os?.action).toBeDefined();
    expect(facts.get('source.whirlwind')?.level).toBe('ok');
  });

  it('end early when told', async () => {
    const facts = await sourceFacts(machine().subject, AbortSignal.abort());
    expect(facts.map(({ id }) => id)).toEqual(['source.camera']);
  });

  it('without a cycle counter are still asked', async () => {
    const { subject } = machine();
    const environment = { ...subject.environment, cycleCounter: () => unable('not here') };
    expect((await look({ ...subject, environment })).get('source.timing')?.level).toBe('ok');
  });
});

describe('cameras', () => {
  it('are named, and what reads them', async () => {
    const made = machine();
    made.write('/dev/video0', '');
    made.write('/dev/video', '');
    expect((await look(made.subject)).get('source.camera')).toMatchObject({
      level: 'info',
      text: '/dev/video0; no ffmpeg, no setpriv',
      values: { devices: 1, ffmpeg: false, setpriv: false },
    });
  });

  it('that are configured need their programs', async () => {
    const config = nodeConfig.parse({
      name: 'office',
      state: '/nonexistent',
      sources: [{ kind: 'camera', url: '/dev/video0' }],
    });
    const camera = (await look({ ...machine().subject, node: { file: 'x.yaml', config } })).get(
      'source.camera',
    );
    expect(camera).toMatchObject({ level: 'weak' });
    expect(camera?.action).toContain('`apt-get install ffmpeg util-linux`');
  });
});
