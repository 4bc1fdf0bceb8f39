import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { decode } from 'fast-png';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MjpegTestServer, begin } from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { until } from '../packages/lamplighter/dist/sources/camera/until.fixture.js';
import { isFull, needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { filming } from './lamps.fixture.js';
import { Command, run } from './processes.fixture.js';
import { changeVideo, ffmpeg, lamps, makeVideo } from './videos.fixture.js';

let folder: string;
const inFolder = (name: string) => path.join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-probe-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Report {
  verdict: string;
  faults: string[];
  numbers: Record<string, number>;
  input: Record<string, string | number>;
  error?: { code: string; message: string; hint?: string };
}

async function probe(...args: readonly string[]) {
  const { code, stdout, stderr } = await run(['camera', 'probe', ...args, '--json']);
  return { code, stderr, stdout, report: JSON.parse(stdout) as Report };
}

needs('ffmpeg', 'setpriv')('camera probe of a recording', () => {
  beforeAll(() => {
    makeVideo(inFolder('good.mp4'), { source: lamps(), seconds: 20 });
    changeVideo(
      inFolder('good.mp4'),
      inFolder('freezes.mp4'),
      'loop=loop=-1:size=1:start=150,trim=duration=20',
    );
    changeVideo(inFolder('good.mp4'), inFolder('slows.mp4'), "select='lt(t,10)+not(mod(n,5))'");
    changeVideo(inFolder('good.mp4'), inFolder('hole.mp4'), "setpts='PTS+gt(T,10)*20/TB'");
    changeVideo(inFolder('good.mp4'), inFolder('three.mp4'), 'trim=duration=3');
    ffmpeg('-stream_loop', '7', '-i', inFolder('three.mp4'), '-c', 'copy', inFolder('loops.mp4'));
    const size = { source: lamps('640x480'), seconds: 8, rest: ['-f', 'mpegts'] };
    makeVideo(inFolder('small.ts'), { source: lamps(), seconds: 8, rest: ['-f', 'mpegts'] });
    makeVideo(inFolder('large.ts'), size);
    writeFileSync(
      inFolder('resized.ts'),
      Buffer.concat(['small.ts', 'large.ts'].map((name) => readFileSync(inFolder(name)))),
    );
    makeVideo(inFolder('black.mp4'), { source: 'color=black:s=320x240:r=15', seconds: 12 });
  });

  it('calls lamps healthy, prints verdict, faults and numbers first, and exits with 0', async () => {
    const startedMs = performance.now();
    const { code, stdout, stderr, report } = await probe(inFolder('good.mp4'));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^\{"verdict":"healthy","faults":\[\],"numbers":\{"/);
    expect(report.numbers['picturesPerSecond']).toBeCloseTo(15, 0);
    expect(report.input).toMatchObject({
      kind: 'file',
      url: inFolder('good.mp4'),
      codec: 'h264',
      decoded: 'all frames',
      width: 320,
      height: 240,
      framesPerSecond: 15,
      pictures: 300,
    });
    // 20 s of video at full speed.
    expect(performance.now() - startedMs).toBeLessThan(15_000);
  });

  it.each([
    ['freezes.mp4', 'frozen', 'ERR_CAMERA_FROZEN'],
    ['slows.mp4', 'stalled', 'ERR_CAMERA_STALLED'],
    ['hole.mp4', 'stalled', 'ERR_CAMERA_STALLED'],
    ['loops.mp4', 'replayed', 'ERR_CAMERA_REPLAYED'],
    ['resized.ts', 'changed', 'ERR_CAMERA_CHANGED'],
    ['black.mp4', 'dark', 'ERR_CAMERA_DARK'],
  ])('calls %s degraded, %s, and exits with 1', async (name, fault, errorCode) => {
    const { code, stderr, report } = await probe(inFolder(name));
    expect(code).toBe(1);
    expect(report.verdict).toBe('degraded');
    expect(report.faults).toContain(fault);
    expect(report.error?.code).toMatch(/^ERR_CAMERA_/);
    expect(stderr).toContain(report.error?.code ?? 'nothing');
    expect(stderr).toContain('hint: ');
    if (report.faults.length === 1) expect(report.error?.code).toBe(errorCode);
  });

  it.runIf(isFull)('looks no further than it is told', async () => {
    const { code, report } = await probe(inFolder('freezes.mp4'), '--seconds', '8');
    expect({ code, verdict: report.verdict, pictures: report.input['pictures'] }).toEqual({
      code: 0,
      verdict: 'healthy',
      pictures: 120,
    });
  });

  it('says when it is too little to say', async () => {
    const { code, stderr, report } = await probe(inFolder('good.mp4'), '--seconds', '1');
    expect(code).toBe(1);
    expect(report).toMatchObject({
      verdict: 'degraded',
      faults: [],
      error: { code: 'ERR_CAMERA_TOO_SHORT' },
    });
    expect(stderr).toMatch(/too little to say \[ERR_CAMERA_TOO_SHORT\]\nhint: /);
  });

  it('draws what the tests look at, and says the same to people', async () => {
    const png = inFolder('probe.png');
    const { code, stdout, stderr } = await run(['camera', 'probe', inFolder('good.mp4'), '--picture', png]);
    expect(code).toBe(0);
    expect(stdout).toContain(`camera    ${inFolder('good.mp4')}`);
    expect(stdout).toContain('h264, 320×240, 15 frames a second');
    expect(stdout).toMatch(/verdict {3}healthy\n$/);
    expect(stderr).toBe(`what the tests looked at is in ${png}\n`);
    const { width, height, data } = decode(readFileSync(png));
    expect(width * height * 3).toBe(data.length);
    // A noisy picture fills the noise map: thousands of colours would be gone if it were empty.
    expect(new Set(data).size).toBeGreaterThan(100);

    const nowhere = inFolder('no/such/folder.png');
    const refused = await run(['camera', 'probe', inFolder('three.mp4'), '--json', '--picture', nowhere]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('[ERR_OUTPUT_FILE]');
    expect(JSON.parse(refused.stdout)).toMatchObject({ input: { kind: 'file' } });
  });

  it.each([
    ['none.mp4', undefined, 'ERR_CAMERA_GONE', ['gone']],
    ['text.mp4', Buffer.from('this is no video\n'.repeat(500)), 'ERR_CAMERA_FORMAT', []],
    ['empty.mp4', Buffer.alloc(0), 'ERR_CAMERA_FORMAT', []],
    ['playlist.m3u8', Buffer.from('#EXTM3U\n#EXTINF:3,\ngood.mp4\n'), 'ERR_CAMERA_FORMAT', []],
  ])('says what is wrong with %s', async (name, content, errorCode, faults) => {
    if (content !== undefined) writeFileSync(inFolder(name), content);
    const { code, stderr, report } = await probe(inFolder(name));
    expect(code).toBe(1);
    expect(report).toMatchObject({ verdict: 'degraded', faults, error: { code: errorCode } });
    expect(stderr).toMatch(/\nhint: /);
  });

  it('says that ffmpeg is missing', async () => {
    const command = new Command(['camera', 'probe', inFolder('good.mp4'), '--json'], {
      env: { PATH: folder },
    });
    const { code } = await command.ended;
    expect(code).toBe(1);
    expect(JSON.parse(command.stdout)).toMatchObject({ error: { code: 'ERR_FFMPEG_MISSING' } });
    expect(command.stderr).toContain('hint: apt-get install ffmpeg');
  });

  it('learns from a camera, says what and why, and probes by it', async () => {
    const file = inFolder('calibration.json');
    const { code, stdout, stderr } = await run(['camera', 'calibrate', inFolder('good.mp4'), '--out', file]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('size 320 x 240');
    expect(stderr).toContain('rate 15.0 pictures a second');
    expect(stderr).toContain(`written to ${file}`);
    expect(statSync(file).mode & 0o777).toBe(0o644 & ~process.umask());
    const learned = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    expect(learned).toMatchObject({ version: 1, sourceWidth: 320, sourceHeight: 240 });

    const good = await probe(inFolder('good.mp4'), '--calibration', file);
    expect({ code: good.code, verdict: good.report.verdict }).toEqual({ code: 0, verdict: 'healthy' });
    // Another size than was learned, from the first picture on.
    const other = await probe(inFolder('large.ts'), '--calibration', file);
    expect({ code: other.code, faults: other.report.faults }).toEqual({ code: 1, faults: ['changed'] });
  });

  it('learns nothing from a picture that is not healthy, nor from next to nothing', async () => {
    const file = inFolder('none.json');
    const faulty = [
      ['freezes.mp4', 'ERR_CAMERA_FROZEN'],
      ['three.mp4', 'ERR_CAMERA_TOO_SHORT'],
      ['black.mp4', 'ERR_CAMERA_DARK'],
      ['none.mp4', 'ERR_CAMERA_GONE'],
    ] as const;
    for (const [name, errorCode] of isFull ? faulty : faulty.slice(0, 2)) {
      const { code, stdout, stderr } = await run(['camera', 'calibrate', inFolder(name), '--out', file]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(new RegExp(`\\[${errorCode}\\]\nhint: `));
      expect(existsSync(file)).toBe(false);
    }
  });

  it('does not wait for ever for a file that says nothing', async () => {
    execFileSync('mkfifo', [inFolder('pipe.mp4')]);
    const command = new Command(['camera', 'probe', inFolder('pipe.mp4'), '--json']);
    const { code, tookMs } = await command.ended;
    expect(code).toBe(1);
    expect(tookMs).toBeLessThan(30_000);
    expect(JSON.parse(command.stdout)).toMatchObject({
      faults: ['stalled'],
      error: { code: 'ERR_CAMERA_STALLED' },
    });
  });
});

describe('camera probe of a live camera', () => {
  const server = new MjpegTestServer();
  beforeAll(() => server.listen());
  afterAll(() => server.close());

  it('looks at it for as long as it is told', async () => {
    server.play(filming());
    const { code, report } = await probe(server.url, '--seconds', '5');
    expect({ code, verdict: report.verdict, faults: report.faults }).toEqual({
      code: 0,
      verdict: 'healthy',
      faults: [],
    });
    expect(report.input).toMatchObject({ kind: 'http', codec: 'mjpeg', width: 160, height: 120 });
    expect(report.input['seconds']).toBeGreaterThanOrEqual(5);
    expect(report.input['seconds']).toBeLessThan(8);
  });

  it('says that it goes away in the middle', async () => {
    server.play(filming());
    const probing = probe(server.url, '--seconds', '30');
    await until('it is watched', () => server.clients === 1);
    setTimeout(() => server.play(() => undefined, { cutOthers: true }), 2_000);
    const { code, report } = await probing;
    expect(code).toBe(1);
    expect(report).toMatchObject({ verdict: 'degraded', error: { code: 'ERR_CAMERA_GONE' } });
    expect(report.faults).toContain('gone');
  });

  it('says that it stalls', async () => {
    server.play((response) => begin(response));
    const { code, report } = await probe(server.url, '--seconds', '30');
    expect(code).toBe(1);
    expect(report).toMatchObject({ faults: ['stalled'], error: { code: 'ERR_CAMERA_STALLED' } });
  });

  it('says that nobody is there, that it refuses, and shows no password', async () => {
    server.play((response) => response.writeHead(401).end());
    const refused = await probe(server.url.replace('//', '//alice:sesame@'));
    expect(refused.report).toMatchObject({
      verdict: 'degraded',
      faults: ['gone'],
      error: { code: 'ERR_CAMERA_GONE' },
    });
    expect(refused.stderr).toContain('answers 401');
    const absent = await probe('http://alice:sesame@127.0.0.1:1/x?token=sesame');
    expect(absent.report).toMatchObject({ faults: ['gone'], error: { code: 'ERR_CAMERA_GONE' } });
    expect(absent.code).toBe(1);
    for (const { stdout, stderr } of [refused, absent]) expect(stdout + stderr).not.toMatch(/sesame|alice/);
  });

  it.each([
    [['camera', 'probe', 'ftp://x/'], 64],
    [['camera', 'probe', '/dev/sda'], 64],
    [['camera', 'probe'], 64],
    [['camera', 'probe', 'a.mp4', '--seconds', '0'], 64],
    [['camera', 'probe', 'a.mp4', '--calibration', '/nowhere.json'], 78],
  ])('refuses %j', async (args, exitCode) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toMatch(/^lamplighter: .*\n(.*\n)*hint: /);
  });

  it('ends at once when it is told to stop', async () => {
    server.play(filming());
    const command = new Command(['camera', 'probe', server.url, '--seconds', '60', '--json']);
    await until('it is watched', () => server.clients === 1);
    const { code, tookMs } = await command.stop('SIGINT');
    expect(code).toBe(1);
    expect(tookMs).toBeLessThan(3_000);
    await until('nothing is left of it', () => server.clients === 0);
  });
});
