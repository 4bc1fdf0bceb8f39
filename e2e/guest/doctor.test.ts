import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TRICKLE_PORT } from '../../packages/lamplighter/dist/wire/trickle.js';
import { Place } from '../place.fixture.js';
import { bootGuest, endGuests, type Guest } from './guest.fixture.js';
import { inFull } from '../../packages/lamplighter/dist/needs.fixture.js';
import { needsGuest } from './kernel.fixture.js';

const DIST = fileURLToPath(new URL('../../packages/lamplighter/dist', import.meta.url));
/** The facts of the doctor that are about copies, alone: all of them take an emulated processor a minute. */
const SCRIPT = `
  const { cloneFacts } = await import('${DIST}/doctor/clone-facts.js');
  const { systemRuntime } = await import('${DIST}/doctor/subject.js');
  const { systemEnvironment } = await import('${DIST}/local/environment.js');
  const { systemNative } = await import('${DIST}/local/native-doors.js');
  const { agentConfig } = await import('${DIST}/agent/config.js');
  const { readFileSync } = await import('node:fs');
  const config = agentConfig.parse(JSON.parse(readFileSync(process.argv[2], 'utf8')));
  const subject = { environment: systemEnvironment(), native: systemNative, runtime: systemRuntime() };
  const facts = async (more) => (await cloneFacts({ ...subject, ...more })).map(({ id, level, values }) => [id, { level, values }]);
  console.log(JSON.stringify({
    alone: Object.fromEntries(await facts({})),
    withAgent: Object.fromEntries(await facts({ agent: { file: 'agent.yaml', config } })),
  }));
`;

interface Said {
  readonly level: string;
  readonly values?: Readonly<Record<string, unknown>>;
}

inFull(() => needsGuest())('what parts copies of a guest', () => {
  let place: Place;
  let guest: Guest;

  beforeAll(async () => {
    place = new Place();
    writeFileSync(place.path('facts.mjs'), SCRIPT);
    place.write('agent.json', {
      tls: { ca: 'ca.pem', cert: 'web-1.pem', key: 'web-1.key' },
      relays: [{ name: 'one', url: 'https://relay' }],
      host: {},
    });
    guest = await bootGuest({
      cpu: 'qemu64,-rdrand,-rdseed',
      devices: [
        ['-device', 'vmgenid,guid=11111111-2222-3333-4444-555555555555'],
        ['-chardev', `socket,id=burst,path=${place.path('burst.sock')},server=on,wait=off`],
        ['-device', `virtserialport,bus=ports.0,nr=2,chardev=burst,name=${TRICKLE_PORT}`],
      ].flat(),
    });
  }, 120_000);

  afterAll(async () => {
    await endGuests();
    place.remove();
  });

  it('is found out by the doctor, on a real kernel', async () => {
    const command = `'${process.execPath}' '${place.path('facts.mjs')}' '${place.path('agent.json')}'`;
    const said = JSON.parse(await guest.succeed(command, { timeoutMs: 90_000 })) as Record<
      'alone' | 'withAgent',
      Record<string, Said>
    >;
    const here = { vmclock: 'absent', vmgenid: 'works', host: true, cpu: false, surest: 'vmgenid' };
    expect(said.alone).toMatchObject({
      'machine.kind': { values: { virtual: true, product: expect.stringContaining('QEMU') as string } },
      'machine.separators': { level: 'ok', values: { ...here, line: 'there' } },
      'machine.signs': {
        level: 'ok',
        values: { vmclock: false, kernelLog: true, line: false, hardwareClock: true },
      },
    });
    expect(said.withAgent).toMatchObject({
      'machine.separators': { values: { ...here, line: 'listened to' } },
      'machine.signs': { level: 'ok', values: { line: true } },
    });
  }, 120_000);
});
