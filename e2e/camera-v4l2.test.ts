import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeStatus, SourceStatus } from '../packages/lamplighter/dist/wire/status.js';
import { type Guest, bootGuest, endGuests } from './guest/guest.fixture.js';
import type { GuestOutput } from './guest/control.fixture.js';
import { isFull } from '../packages/lamplighter/dist/needs.fixture.js';
import { needsGuest } from './guest/kernel.fixture.js';
import { eventually, partOf } from './processes.fixture.js';

const PROGRAM = fileURLToPath(new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url));
/** An emulated processor takes seconds to start Node and ffmpeg; this is the guest's own time. */
const PROBE_MS = 60_000;
/** The host's time, which on a busy host is much longer. */
const VERDICT_MS = 150_000;
const TEST_MS = 2 * VERDICT_MS;
const ADMIN_PORT = 9600;

/** Controls of the kernel's vivid driver. It makes raw pictures only. */
const NOISE = 'test_pattern=21,osd_text_mode=2';
const BARS_WITH_CLOCK = 'test_pattern=0,osd_text_mode=0';
const RAW = 'format=yuyv&size=320x180&fps=5';
const RAW_FRAME_BYTES = 320 * 180 * 2;

interface ProbeReport {
  readonly verdict: 'healthy' | 'degraded';
  readonly faults: readonly string[];
  readonly numbers: Readonly<Record<string, number>>;
  readonly input: Readonly<Record<string, string | number>>;
}

needsGuest('ffmpeg', 'v4l2-ctl')("V4L2 cameras, in a guest with Debian's kernel", () => {
  let guest: Guest;
  let share: string;

  beforeAll(async () => {
    share = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-v4l2-'));
    guest = await bootGuest({ share, ownTime: true });
    await guest.succeed('modprobe vivid n_devs=2 node_types=0x1,0x1');
    await plugged();
  });

  afterAll(async () => {
    await endGuests();
    rmSync(share, { recursive: true, force: true });
  });

  /**
   * What udev does with new cameras, when it is known what they film: the first noise, the second a test card with a clock. Until
   * then only root may open them, so a node that waits for its camera never sees another picture.
   */
  async function plugged(): Promise<void> {
    await guest.succeed(`v4l2-ctl -d 0 -c ${NOISE} && v4l2-ctl -d 1 -c ${BARS_WITH_CLOCK}`);
    await guest.succeed('chgrp video /dev/video0 /dev/video1 && chmod 0660 /dev/video0 /dev/video1');
  }

  const lamplighter = (args: string): string => `'${process.execPath}' '${PROGRAM}' ${args}`;

  const probe = (device: string): Promise<GuestOutput> =>
    guest.run(lamplighter(`camera probe '${device}' --json --seconds 6`), { timeoutMs: PROBE_MS });

  async function camera(): Promise<SourceStatus | undefined> {
    const url = `http://127.0.0.1:${ADMIN_PORT}/v1/status`;
    const { code, stdout } = await guest.run(`busybox wget -q -O - ${url}`);
    return code === 0 ? partOf(JSON.parse(stdout) as NodeStatus, 'sources', 'camera') : undefined;
  }

  async function until(what: string, condition: (status: SourceStatus) => boolean): Promise<SourceStatus> {
    let last: SourceStatus | undefined;
    const look = async (): Promise<SourceStatus | false> => {
      last = await camera();
      if (last !== undefined && condition(last)) return last;
      // Every look costs the guest a quarter of a second.
      await sleep(1_000);
      return false;
    };
    try {
      return await eventually(what, look, VERDICT_MS);
    } catch (error) {
      throw new Error(`${String(error)}: ${JSON.stringify(last)}`, { cause: error });
    }
  }

  const isHealthy = ({ state, basis }: SourceStatus): boolean => state === 'ok' && basis.physical;

  it.runIf(isFull)('are probed: noise is healthy', async () => {
    const noise = await probe(`/dev/video0?${RAW}`);
    expect(noise.code, noise.stderr).toBe(0);
    const healthy = JSON.parse(noise.stdout) as ProbeReport;
    expect(healthy).toMatchObject({ verdict: 'healthy', faults: [] });
    expect(healthy.input).toMatchObject({ kind: 'device', codec: 'raw', width: 320, height: 180 });
  });

  it.runIf(isFull)('are probed: a test card with a running clock is not', async () => {
    const card = await probe(`/dev/video1?${RAW}`);
    expect(card.code, card.stderr).toBe(1);
    const degraded = JSON.parse(card.stdout) as ProbeReport;
    expect(degraded.verdict).toBe('degraded');
    expect(degraded.faults).toEqual(expect.arrayContaining(['overlay-only', 'low-noise']));
  });

  it.runIf(isFull)('are refused, with the reason, when they have no such format', async () => {
    const { code, stderr } = await probe('/dev/video0?format=mjpeg');
    expect(code).toBe(1);
    expect(stderr).toMatch(/ERR_CAMERA_\w+/);
    expect(stderr).toMatch(/mjpeg/);
  });

  it(
    'are heard raw and whole by a node, which sees them go and come back',
    async () => {
      const sources = [{ kind: 'camera', url: `/dev/video0?${RAW}` }, { kind: 'os' }];
      const config = { name: 'office', state: '/tmp/state', admin: { port: ADMIN_PORT }, sources };
      writeFileSync(path.join(share, 'node.yaml'), JSON.stringify(config));
      await guest.succeed(`${lamplighter('node --config /share/node.yaml')} >/share/node.log 2>&1 &`);

      const { details, bytes, events } = await until('the camera is healthy', isHealthy);
      expect(details).toMatchObject({ input: 'ffmpeg', codec: 'raw' });
      // Raw frames, not a tenth of them as any codec would leave; the two counters are not of the same moment.
      const framesWorth = Number(details['bytes']) / RAW_FRAME_BYTES;
      expect(framesWorth).toBeGreaterThan(Number(details['frames']) / 2);
      expect(framesWorth).toBeLessThan(Number(details['frames']) * 2 + 5);
      expect(bytes).toBeGreaterThan(RAW_FRAME_BYTES);
      expect(events).toBeGreaterThan(0);

      await guest.succeed('echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind');
      const gone = await until('the camera is gone', ({ state }) => state === 'failed');
      expect(gone.reason?.code).toBe('ERR_CAMERA_GONE');
      expect(gone.basis.physical).toBe(false);
      expect(gone.bytes).toBeGreaterThanOrEqual(bytes);

      await guest.succeed('echo vivid.0 >/sys/bus/platform/drivers/vivid/bind');
      await plugged();
      const isHeard = ({ bytes: now }: SourceStatus): boolean => now > gone.bytes + 5 * RAW_FRAME_BYTES;
      const back = await until('the camera is heard again', isHeard);
      expect(back.state).not.toBe('failed');
      expect(Number(back.details['restarts'])).toBeGreaterThan(0);
    },
    TEST_MS,
  );
});
