import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  TRICKLE_GREETING,
  TRICKLE_HELLO,
  TRICKLE_PORT,
} from '../../packages/lamplighter/dist/wire/trickle.js';
import { Place } from '../place.fixture.js';
import { Command, endAll, eventually, freePorts, partOf, untilStatus } from '../processes.fixture.js';
import { type Guest, bootGuest, endGuests } from './guest.fixture.js';
import { needsGuest } from './kernel.fixture.js';

const DIST = fileURLToPath(new URL('../../packages/lamplighter/dist', import.meta.url));
const BURST_BYTES = 256;
const BYTES_PER_MINUTE = 3_840;

/** For the shell's printf. */
const PRINTED_HELLO = TRICKLE_HELLO.replace('\r\n', '\\r\\n');

/** A unikernel's side of the line, as a shell script: says hello, keeps what it hears in a file. */
const SAY_HELLO = `
port=/dev/$(basename $(dirname $(grep -lx ${TRICKLE_PORT} /sys/class/virtio-ports/*/name)))
setsid sh -c "exec 3<>$port; printf '${PRINTED_HELLO}' >&3; exec cat <&3 >/run/heard" >/dev/null 2>&1 &
echo $! >/run/reader`;
const STOP_READING = 'kill -- -$(cat /run/reader) 2>/dev/null; sleep 0.2; rm -f /run/heard';

needsGuest('cat', 'setsid')('a guest with a trickle from a node, over virtio-serial', () => {
  let place: Place;
  let admin: number;
  let config: string;
  let node: Command;
  let first: Guest;
  let second: Guest;
  const line = (name: string, how: string): string[] =>
    [
      ['-chardev', `socket,id=trickle,path=${name},${how}`],
      ['-device', `virtserialport,bus=ports.0,nr=2,chardev=trickle,name=${TRICKLE_PORT}`],
    ].flat();

  async function startNode(): Promise<void> {
    node = new Command(['node', '--config', config]);
    await untilStatus(admin, 'ready', ({ state }) => state === 'ready');
  }

  beforeAll(async () => {
    place = new Place();
    ({ admin } = await freePorts('admin'));
    const limits = { burstBytes: BURST_BYTES, bytesPerMinute: BYTES_PER_MINUTE };
    config = place.write('host.yaml', {
      name: 'host',
      state: 'state/host',
      admin: { port: admin },
      sources: [{ kind: 'os' }, { kind: 'cpu' }],
      outlets: [
        { kind: 'trickle', name: 'folder', role: 'connect', folder: place.folder, ...limits },
        {
          kind: 'trickle',
          name: 'socket',
          role: 'listen',
          sockets: [place.path('guests', 'second.sock')],
          ...limits,
        },
      ],
    });
    await startNode();
    // One after the other: each takes a whole processor.
    first = await bootGuest({ devices: line(place.path('first.sock'), 'server=on,wait=off') });
    second = await bootGuest({ devices: line(place.path('guests', 'second.sock'), 'reconnect=1') });
  }, 180_000);

  afterAll(async () => {
    await endGuests();
    await endAll();
    place.remove();
  });

  const heard = async (guest: Guest): Promise<Buffer> =>
    Buffer.from(await guest.succeed('base64 -w0 /run/heard'), 'base64');
  const entropyOf = async (guest: Guest): Promise<Buffer> => {
    const all = await heard(guest);
    const at = all.lastIndexOf(TRICKLE_GREETING);
    return at < 0 ? Buffer.alloc(0) : all.subarray(at + TRICKLE_GREETING.length);
  };
  const untilEntropy = (guest: Guest, lengthBytes: number): Promise<Buffer> =>
    eventually(`${lengthBytes} bytes`, async () => {
      const entropy = await entropyOf(guest);
      return entropy.length >= lengthBytes && entropy;
    });
  const details = async (
    name: string,
    what: string,
    condition: (details: Record<string, unknown>) => boolean,
  ) => untilStatus(admin, what, (status) => condition(partOf(status, 'outlets', name).details));

  it('gets nothing before it says hello; then the greeting, a burst and the trickle, whichever side listens', async () => {
    await details('folder', 'connected', ({ connected }) => connected === 1);
    await details('socket', 'connected', ({ connected }) => connected === 1);
    const helloMs = performance.now();
    for (const guest of [first, second]) await guest.succeed(SAY_HELLO);
    const [one, other] = await Promise.all(
      [first, second].map((guest) => untilEntropy(guest, BURST_BYTES + 64)),
    );
    expect((await heard(first)).indexOf(TRICKLE_GREETING)).toBe(0);
    const rows = [one, other].flatMap((bytes) =>
      Array.from({ length: 16 }, (_, row) => bytes?.toString('hex', 16 * row, 16 * row + 16)),
    );
    expect(new Set(rows).size).toBe(32);
    // A piece a second, by bytesPerMinute, and no more.
    await untilEntropy(first, BURST_BYTES + 4 * 64);
    const { length } = await entropyOf(first);
    const seconds = (performance.now() - helloMs) / 1_000;
    expect(length).toBeLessThanOrEqual(BURST_BYTES + (seconds + 1) * 64);
  });

  it('says hello again on the same line, as after a reboot, and gets a greeting and a burst', async () => {
    await first.succeed(STOP_READING);
    const { bursts } = partOf(await untilStatus(admin, 'an answer', () => true), 'outlets', 'folder').details;
    // A boot that was cut off in the middle of its hello.
    await first.succeed(SAY_HELLO.replace(PRINTED_HELLO, 'Hello, may I'));
    await first.succeed(STOP_READING);
    await first.succeed(SAY_HELLO);
    await untilEntropy(first, BURST_BYTES);
    await details('folder', 'a burst', (now) => Number(now['bursts']) > Number(bursts));
  });

  it('gets a burst when its host is resumed', async () => {
    const before = await Promise.all([first, second].map((guest) => entropyOf(guest)));
    node.signal('SIGUSR2');
    await Promise.all(
      [first, second].map((guest, at) => untilEntropy(guest, (before[at]?.length ?? 0) + BURST_BYTES)),
    );
    expect((await untilStatus(admin, 'resumed', ({ resume }) => resume !== undefined)).resume?.sign).toBe(
      'resume',
    );
  });

  it('goes on when the node is restarted, when it says hello again', async () => {
    await node.stop();
    await startNode();
    await details('folder', 'connected', ({ connected }) => connected === 1);
    await details('socket', 'connected', ({ connected }) => connected === 1);
    for (const guest of [first, second]) {
      await guest.succeed(STOP_READING);
      await guest.succeed(SAY_HELLO);
      await untilEntropy(guest, BURST_BYTES);
    }
  });

  it('is heard by the trickle source, through the kernel’s own name for the port, which is free again after it', async () => {
    await first.succeed(STOP_READING);
    // Node's only program in this emulated guest: a whole node takes a minute to load there.
    const script = `
      const { trickleSource } = await import('${DIST}/sources/trickle.js');
      const { systemEnvironment } = await import('${DIST}/local/environment.js');
      const source = trickleSource({}, systemEnvironment());
      let heard = 0;
      const stop = () => source.stop().then(() => console.log(JSON.stringify({ heard, ...before })));
      let before;
      await source.start({ hear: (bytes) => {
        heard += bytes.length;
        before ??= source.status();
        if (heard > ${BURST_BYTES + 100}) void stop();
      } }, new AbortController().signal);`;
    await first.succeed(`cat >/run/hear.mjs <<'END'\n${script}\nEND`);
    const said = await first.succeed(`'${process.execPath}' /run/hear.mjs`, { timeoutMs: 90_000 });
    expect(JSON.parse(said)).toMatchObject({
      state: 'ok',
      details: { form: 'character device', hellos: 1, greetings: 1 },
    });
    expect(await first.succeed('grep -lx cat /proc/[0-9]*/comm | wc -l')).toBe('0');
    await first.succeed(SAY_HELLO);
    await untilEntropy(first, 64);
  }, 180_000);

  it('that talks nonsense is cut off, named, and disturbs nobody', async () => {
    await first.succeed(STOP_READING);
    await first.succeed(SAY_HELLO.replace('Hello', 'Goodbye'));
    await details('folder', 'the fault', (now) =>
      String(now['lastFault']).startsWith('first: ERR_TRICKLE_PROTOCOL'),
    );
    const before = createHash('sha256')
      .update(await heard(second))
      .digest('hex');
    await eventually(
      'the other hears on',
      async () =>
        createHash('sha256')
          .update(await heard(second))
          .digest('hex') !== before,
    );
    // And is served again when it says hello.
    await first.succeed(STOP_READING);
    await details('folder', 'connected', ({ connected }) => connected === 1);
    await first.succeed(SAY_HELLO);
    await untilEntropy(first, 64);
  });
});
