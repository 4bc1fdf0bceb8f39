import { LamplighterError } from '@lamplighter/core';
import type { Command } from 'commander';
import type { ProbeReport } from '../sources/camera/probe.js';
import { integer } from './option-parsers.js';
import { clearProgress, showProgress } from './progress.js';
import { answer, explain, say, untilStopped } from './terminal.js';

interface ProbeCommandOptions {
  seconds?: number;
  json?: true;
  picture?: string;
  calibration?: string;
}

interface CalibrateCommandOptions {
  minutes: number;
  out?: string;
}

const WHERE =
  'http(s)://… (MJPEG), rtsp://…, /dev/videoN[?format=…&size=WxH&fps=N], a video file, ffmpeg+http(s)://…, srt://…, rtmp(s)://…';

/** `lamplighter camera probe …` and `lamplighter camera calibrate …` */
export function addCameraCommand(program: Command): void {
  const camera = program.command('camera').description('see what a camera sees, and teach its health tests');
  camera
    .command('probe')
    .description('look at a camera or a recording with the health tests of a node')
    .argument('<where>', WHERE)
    .option(
      '--seconds <n>',
      'how much video is looked at; when left out 10 of a live camera, all of a file',
      integer(1, 86_400),
    )
    .option('--json', 'print one JSON object: verdict, faults, numbers')
    .option('--picture <file>', 'write what the tests look at as PNG: picture, noise map, histogram')
    .option('--calibration <file>', 'what `lamplighter camera calibrate` learned')
    .addHelpText(
      'after',
      '\nA recording is read as fast as it can be, and a fault at any time of it counts.\nExit code: 0 healthy, 1 degraded, failed, or too short to say, 64 wrong usage.',
    )
    .action(probe);
  camera
    .command('calibrate')
    .description('learn what is normal for a camera while it films what it shall film')
    .argument('<where>', WHERE)
    .option('--minutes <n>', 'how long it is looked at', integer(1, 1_440), 5)
    .option('--out <file>', 'where the calibration goes, JSON; standard output when left out')
    .addHelpText('after', '\nNothing is learned from a camera that is not healthy: probe it first.')
    .action(calibrate);
}

async function probe(where: string, options: ProbeCommandOptions): Promise<void> {
  const { seconds, json, picture, calibration } = options;
  const [{ probeCamera, writeOutput }, { readCalibration }, { systemEnvironment }] = await Promise.all([
    import('../sources/camera/probe.js'),
    import('../sources/camera/calibration-file.js'),
    import('../local/environment.js'),
    refuseNoUrl(where),
  ]);
  const environment = systemEnvironment();
  const known = calibration === undefined ? {} : { calibration: readCalibration(calibration) };
  const { report, draw } = await probeCamera(
    {
      url: where,
      ...known,
      ...(seconds === undefined ? {} : { seconds }),
      onProgress: (now) => showProgress(`${now.seconds.toFixed(0)} s seen, ${now.verdict}`),
    },
    environment,
    untilStopped(),
  ).finally(clearProgress);
  if (report.verdict !== 'healthy') process.exitCode = 1;
  if (json) answer(JSON.stringify(report));
  else describe(report);
  const { error } = report;
  if (error !== undefined) {
    const { code, message, hint } = error;
    explain(new LamplighterError(code, message, hint === undefined ? {} : { hint }));
  }
  if (picture === undefined) return;
  await writeOutput(picture, draw(), environment);
  say(`what the tests looked at is in ${picture}`);
}

async function calibrate(where: string, { minutes, out }: CalibrateCommandOptions): Promise<void> {
  const [{ calibrateCamera }, { writeOutput }, { systemEnvironment }] = await Promise.all([
    import('../sources/camera/calibrate.js'),
    import('../sources/camera/probe.js'),
    import('../local/environment.js'),
    refuseNoUrl(where),
  ]);
  const environment = systemEnvironment();
  const { text, reasons } = await calibrateCamera(
    {
      url: where,
      seconds: minutes * 60,
      onProgress: (now) =>
        showProgress(`${now.seconds.toFixed(0)} of ${minutes * 60} s seen, ${now.verdict}`),
    },
    environment,
    untilStopped(),
  ).finally(clearProgress);
  for (const reason of reasons) say(reason);
  if (out === undefined) return answer(text.trimEnd());
  await writeOutput(out, Buffer.from(text), environment);
  say(`written to ${out}; name it as \`calibration\` of the camera in the configuration`);
}

/** An argument that is none is wrong usage, not a wrong configuration. */
async function refuseNoUrl(where: string): Promise<void> {
  const { parseCameraUrl } = await import('../sources/camera/camera-url.js');
  try {
    parseCameraUrl(where);
  } catch (error) {
    if (!(error instanceof LamplighterError)) throw error;
    const { message, hint } = error;
    throw new LamplighterError('ERR_USAGE', message, hint === undefined ? {} : { hint });
  }
}

function describe({ verdict, faults, numbers, input }: ProbeReport): void {
  const {
    url = '',
    codec = '',
    width = 0,
    height = 0,
    framesPerSecond = 0,
    seconds = 0,
    pictures = 0,
  } = input;
  answer(`camera    ${url}`);
  answer(`video     ${codec}, ${width}×${height}, ${framesPerSecond} frames a second`);
  answer(`seen      ${seconds} s, ${pictures} pictures (${input['decoded'] ?? 'some frames'})`);
  answer(`decoder   ${input['sandbox'] ?? ''}`);
  for (const [name, value] of Object.entries(numbers)) {
    answer(`${name.padEnd(28)} ${Math.round(value * 1000) / 1000}`);
  }
  answer(`verdict   ${verdict}${faults.length === 0 ? '' : `: ${faults.join(', ')}`}`);
}
