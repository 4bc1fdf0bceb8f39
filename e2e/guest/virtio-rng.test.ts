import { afterAll, beforeAll, expect, it } from 'vitest';
import { Place } from '../place.fixture.js';
import { Command, endAll, eventually, freePorts, untilStatus } from '../processes.fixture.js';
import { EgdRecorder } from './egd-recorder.fixture.js';
import { type Guest, bootGuest, endGuests } from './guest.fixture.js';
import { needsGuest } from './kernel.fixture.js';

/** A guest that has nothing of its own: no RDRAND, no RDSEED, nothing from its loader, no jitter of a clock that is credited. */
const BARE = { cpu: 'qemu64,-rdrand,-rdseed', append: 'random.trust_cpu=off random.trust_bootloader=off' };
const MAX_BYTES = 64;
const PERIOD_MS = 1_000;

needsGuest()('a guest whose virtio-rng is fed by a node over EGD', () => {
  let place: Place;
  let admin: number;
  let config: string;
  let node: Command;
  let recorder: EgdRecorder;
  let guest: Guest;

  async function startNode(): Promise<void> {
    node = new Command(['node', '--config', config]);
    await untilStatus(admin, 'ready', ({ state }) => state === 'ready');
  }

  beforeAll(async () => {
    place = new Place();
    ({ admin } = await freePorts('admin'));
    const [socket, between] = [place.path('egd', 'socket'), place.path('between')];
    config = place.write('host.yaml', {
      name: 'host',
      state: 'state/host',
      admin: { port: admin },
      sources: [{ kind: 'os' }, { kind: 'cpu' }],
      outlets: [{ kind: 'egd', listen: `unix:${socket}`, unaskedBytes: 64 }],
    });
    await startNode();
    recorder = await EgdRecorder.listen(between, socket);
    recorder.hold();
    guest = await bootGuest({
      ...BARE,
      hostRandom: false,
      devices: [
        ['-chardev', `socket,id=egd,path=${between},reconnect=1`, '-object', 'rng-egd,id=rng,chardev=egd'],
        ['-device', `virtio-rng-pci,rng=rng,max-bytes=${MAX_BYTES},period=${PERIOD_MS}`],
      ].flat(),
    });
  }, 120_000);

  afterAll(async () => {
    await endGuests();
    await recorder?.close();
    await endAll();
    place.remove();
  });

  const isInitialised = async (): Promise<boolean> =>
    (await guest.succeed("dmesg | grep -c 'crng init done' || true")) !== '0';

  /** What one read of the device gives, and how long it took in the guest. */
  async function dd(lengthBytes: number): Promise<{ bytes: Buffer; tookMs: number }> {
    const script = `dd if=/dev/hwrng bs=${lengthBytes} count=1 status=none | base64 -w0`;
    const { code, stdout, tookMs } = await guest.run(script, { timeoutMs: 60_000 });
    expect(code).toBe(0);
    return { bytes: Buffer.from(stdout, 'base64'), tookMs };
  }

  it('has no random numbers before the first answer, and has them after it', async () => {
    await eventually('the guest asks', () => recorder.requests.length > 0);
    expect(await isInitialised()).toBe(false);
    expect(recorder.given.length).toBe(0);
    recorder.release();
    await eventually('crng init done', isInitialised, 30_000);
    expect(recorder.requests.every(({ lengthBytes }) => lengthBytes > 0 && lengthBytes <= MAX_BYTES)).toBe(
      true,
    );
    // 256 bits is what the kernel waits for; nothing was thrown in twice.
    expect(recorder.given.length).toBeGreaterThanOrEqual(32);
  });

  it('reads from /dev/hwrng exactly what the host served, nothing twice, as slowly as it may', async () => {
    // Given in one period what it had asked for in two, QEMU's quota is below nothing, which it takes for no limit until the next.
    await new Promise((resolve) => setTimeout(resolve, 2 * PERIOD_MS));
    const asked = recorder.requests.length;
    const { bytes, tookMs } = await dd(512);
    expect(bytes.length).toBe(512);
    recorder.checkGave(bytes);
    // Half a thousand bytes at 64 a second, the first of them at once.
    expect(tookMs).toBeGreaterThan(((512 - 3 * MAX_BYTES) / MAX_BYTES) * PERIOD_MS);
    const requests = recorder.requests.slice(asked);
    const first = requests[0]?.atMs ?? 0;
    for (const { atMs } of requests) {
      const until = requests.filter((request) => request.atMs <= atMs);
      const sum = until.reduce((bytes, { lengthBytes }) => bytes + lengthBytes, 0);
      expect(sum).toBeLessThanOrEqual((Math.floor((atMs - first) / PERIOD_MS) + 2) * MAX_BYTES);
    }
  });

  it('goes on when the node is restarted while it reads, though QEMU loses what it asks meanwhile', async () => {
    const { connections } = recorder;
    const asked = recorder.requests.length;
    const reading = dd(512);
    await eventually('the guest reads', () => recorder.requests.length > asked + 1);
    expect((await node.stop()).code).toBe(0);
    await eventually('QEMU tries again', () => recorder.refused > 0);
    // Its quota is there again by now, so it has asked: nobody was there to hear it.
    await new Promise((resolve) => setTimeout(resolve, 2 * PERIOD_MS));
    await startNode();
    await eventually('QEMU is back', () => recorder.connections > connections);
    const { bytes } = await reading;
    expect(bytes.length).toBe(512);
    recorder.checkGave(bytes);
    recorder.checkGave((await dd(128)).bytes);
  });
});
