import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeStatus, SourceStatus } from '../packages/lamplighter/dist/wire/status.js';
import { type Guest, bootGuest, endGuests } from './guest/guest.fixture.js';
import { needsGuest } from './guest/kernel.fixture.js';
import { eventually, partOf } from './processes.fixture.js';

const PROGRAM = fileURLToPath(new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url));
/** An emulated processor takes seconds to start Node and ffmpeg. */
const START_MS = 30_000;
const ADMIN_PORT = 9600;
/** What the kernel's vivid driver calls its pictures. */
const NOISE = 'test_pattern=21,osd_text_mode=2';
const BARS_WITH_CLOCK = 'test_pattern=0,osd_text_mode=0';
const BARS = 'test_pattern=0,osd_text_mode=2';
const BLACK = 'test_pattern=5,osd_text_mode=2';

const RAW = '/dev/video0?format=yuyv&size=320x180&fps=10';
const RAW_FRAME_BYTES = 320 * 180 * 2;

interface Verdict {
  readonly verdict: 'healthy' | 'degraded';
  readonly faults: readonly string[];
  readonly numbers: Readonly<Record<string, unknown>>;
}

needsGuest('ffmpeg', 'v4l2-ctl')("a V4L2 device, in a guest with Debian's kernel", () => {
  let guest: Guest;
  let share: string;

  beforeAll(async () => {
    share = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-v4l2-'));
    guest = await bootGuest({ share });
    await guest.succeed('modprobe vivid n_devs=1 node_types=0x1');
  });

  afterAll(async () => {
    await endGuests();
    rmSync(share, { recursive: true, force: true });
  });

  const show = (picture: string): Promise<string> => guest.succeed(`v4l2-ctl -c ${picture}`);
  const lamplighter = (args: string): string => `${process.execPath} ${PROGRAM} ${args}`;

  async function probe(picture: string): Promise<Verdict> {
    await show(picture);
    const { stdout, stderr } = await guest.run(lamplighter(`camera probe '${RAW}' --json --seconds 5`), {
      timeoutMs: START_MS,
    });
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as Verdict;
  }

  describe('camera probe', () => {
    it('finds noise healthy', async () => {
      expect(await probe(NOISE)).toMatchObject({ verdict: 'healthy', faults: [] });
    });

    it('finds a test pattern with a running clock degraded', async () => {
      const { verdict, faults } = await probe(BARS_WITH_CLOCK);
      expect({ verdict, faults }).toEqual({
        verdict: 'degraded',
        faults: expect.arrayContaining(['overlay-only']) as unknown,
      });
    });

    it('says that a device has no such format', async () => {
      const device = '/dev/video0?format=mjpeg';
      const { code, stderr } = await guest.run(lamplighter(`camera probe '${device}' --seconds 5`), {
        timeoutMs: START_MS,
      });
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/mjpeg/);
    });
  });

  describe('a node', () => {
    beforeAll(async () => {
      await show(NOISE);
      const sources = [{ kind: 'camera', url: RAW }, { kind: 'os' }];
      const config = { name: 'office', state: '/tmp/state', admin: { port: ADMIN_PORT }, sources };
      writeFileSync(path.join(share, 'node.yaml'), JSON.stringify(config));
      await guest.succeed(`${lamplighter('node --config /share/node.yaml')} >/share/node.log 2>&1 &`);
    });

    async function camera(): Promise<SourceStatus | undefined> {
      const url = `http://127.0.0.1:${ADMIN_PORT}/v1/status`;
      const { code, stdout } = await guest.run(`busybox wget -q -O - ${url}`);
      return code === 0 ? partOf(JSON.parse(stdout) as NodeStatus, 'sources', 'camera') : undefined;
    }

    const until = (what: string, condition: (status: SourceStatus) => boolean): Promise<SourceStatus> =>
      eventually(
        what,
        async () => {
          const status = await camera();
          if (status !== undefined && condition(status)) return status;
          // Every look costs the guest a tenth of a second.
          await sleep(500);
          return false;
        },
        START_MS,
      );

    const isPhysical = ({ state, basis }: SourceStatus): boolean => state === 'ok' && basis.physical;

    it('hears the raw frames, every byte of them, as the sensor gave them', async () => {
      const { details, bytes, events } = await until('the camera is heard and moves', isPhysical);
      expect(details).toMatchObject({ input: 'ffmpeg', codec: 'as-captured' });
      expect(Number(details['frames'])).toBeGreaterThan(0);
      expect(Number(details['bytes']) % RAW_FRAME_BYTES).toBe(0);
      expect(bytes).toBeGreaterThan(RAW_FRAME_BYTES);
      expect(events).toBeGreaterThan(0);
    });

    it.each([
      ['a still picture', BARS],
      ['a lens cap', BLACK],
    ])('takes its credit while it shows %s, and gives it back', async (_, picture) => {
      await show(picture);
      const { basis } = await until('the camera is degraded', ({ state }) => state === 'degraded');
      expect(basis.physical).toBe(false);
      await show(NOISE);
      await until('the camera moves', isPhysical);
    });

    it('says that the device is gone, and hears it when it is back', async () => {
      await guest.succeed('echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind');
      const gone = await until('the camera is gone', ({ reason }) => reason?.code === 'ERR_CAMERA_GONE');
      expect(gone).toMatchObject({ state: 'failed', basis: { physical: false } });

      await guest.succeed('echo vivid.0 >/sys/bus/platform/drivers/vivid/bind');
      await show(NOISE);
      const back = await until('the camera is heard again', isPhysical);
      expect(back.bytes).toBeGreaterThan(gone.bytes);
      expect(Number(back.details['restarts'])).toBeGreaterThan(0);
    });
  });
});
