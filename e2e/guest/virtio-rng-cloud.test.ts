import { afterEach, beforeEach, expect, it } from 'vitest';
import { Place } from '../place.fixture.js';
import { Command, endAll, eventually, freePorts, untilStatus } from '../processes.fixture.js';
import { CloudGuest, needsCloudKernel } from './cloud-kernel.fixture.js';
import { EgdRecorder } from './egd-recorder.fixture.js';

/** Says when its random numbers are ready, then what it reads, one line each. */
const SCRIPT = `
echo "ready before: $(dmesg | grep -c 'crng init done')"
echo 'waiting'
until dmesg | grep -q 'crng init done'; do sleep 0.1; done
echo 'ready now'
echo "read: $(dd if=/dev/hwrng bs=128 count=1 2>/dev/null | hexdump -v -e '/1 "%02x"')"
echo "rng: $(cat /sys/class/misc/hw_random/rng_current)"`;

needsCloudKernel()('Debian’s cloud kernel with a virtio-rng that a node feeds', () => {
  let place: Place;
  let recorder: EgdRecorder;
  let guest: CloudGuest;

  beforeEach(async () => {
    place = new Place();
    const { admin } = await freePorts('admin');
    const [socket, between] = [place.path('egd', 'socket'), place.path('between')];
    const config = place.write('host.yaml', {
      name: 'host',
      state: 'state/host',
      admin: { port: admin },
      sources: [{ kind: 'os' }, { kind: 'cpu' }],
      outlets: [{ kind: 'egd', listen: `unix:${socket}` }],
    });
    const node = new Command(['node', '--config', config]);
    await untilStatus(admin, 'ready', ({ state }) => state === 'ready');
    expect(node.isRunning).toBe(true);
    recorder = await EgdRecorder.listen(between, socket);
    recorder.hold();
    const devices = [
      ['-chardev', `socket,id=egd,path=${between},reconnect=1`, '-object', 'rng-egd,id=rng,chardev=egd'],
      ['-device', 'virtio-rng-pci,rng=rng,max-bytes=1024,period=1000'],
    ].flat();
    guest = new CloudGuest(SCRIPT, devices, 'random.trust_bootloader=off');
  }, 120_000);

  afterEach(async () => {
    await guest?.kill();
    await recorder?.close();
    await endAll();
    place.remove();
  });

  const line = (start: string): string | undefined =>
    guest.said
      .find((text) => text.startsWith(start))
      ?.slice(start.length)
      .trim();

  it('has no random numbers before the first answer; after it has, and reads what the host served', async () => {
    await eventually('it waits', () => line('waiting') !== undefined, 60_000);
    await eventually('it asks', () => recorder.requests.length > 0);
    expect(line('ready before:')).toBe('0');
    expect(line('ready now')).toBeUndefined();
    recorder.release();
    await eventually('it reads', () => line('read:') !== undefined && line('rng:') !== undefined, 60_000);
    expect(line('rng:')).toMatch(/^virtio_rng/);
    const read = Buffer.from(line('read:') ?? '', 'hex');
    expect(read.length).toBe(128);
    recorder.checkGave(read);
    await guest.over;
  });
});
