import { findProgram } from '../sources/find-program.js';
import { type Fact, actionFrom } from './fact.js';
import { knownKinds, sourceOf } from './known-sources.js';
import { namesIn } from './machine-files.js';
import { unseen, whyNot } from './probe.js';
import { type SourceTrial, trySource } from './source-trial.js';
import type { Subject } from './subject.js';

/** Sources that ask somebody outside by themselves: whoever examines a machine has not asked for that. */
const ASKS_OUTSIDE: readonly string[] = ['public'];
const ANSWER_MS = 2_000;

/** What each source that needs no configuration gives here, and what there is for a camera. */
export async function sourceFacts(subject: Subject, signal: AbortSignal): Promise<readonly Fact[]> {
  const kinds = knownKinds().filter(({ kind, needs }) => needs.length === 0 && !ASKS_OUTSIDE.includes(kind));
  const facts: Fact[] = [];
  // One after the other: some of them measure time.
  for (const { kind } of kinds) {
    if (signal.aborted) break;
    facts.push(await sourceFact(kind, subject, signal));
  }
  return [...facts, await cameraFact(subject)];
}

async function sourceFact(kind: string, { environment }: Subject, signal: AbortSignal): Promise<Fact> {
  const id = `source.${kind}`;
  try {
    const source = sourceOf(kind, {}, environment);
    return trialFact(id, await trySource(source, { environment, seconds: 0, answerMs: ANSWER_MS, signal }));
  } catch (error) {
    return unseen(id, whyNot(error));
  }
}

function trialFact(id: string, { kind, state, reason, answer }: SourceTrial): Fact {
  const gave = answer === undefined ? 'no answer' : `${answer.bytes} bytes in ${answer.ms.toFixed(1)} ms`;
  const values = {
    state,
    ...(answer && { bytes: answer.bytes, tookMs: answer.ms }),
    ...(reason && { code: reason.code }),
  };
  const why = reason === undefined ? '' : `: ${reason.message}`;
  switch (state) {
    case 'ok':
    case 'ended':
      return { id, level: answer === undefined ? 'info' : 'ok', text: gave, values };
    case 'starting':
      return { id, level: 'info', text: `${gave}, and not yet sure of itself`, values };
    case 'absent':
      return { id, level: 'info', text: `not here${why}`, values };
    case 'stopped':
      return { id, level: 'info', text: `stopped${why}`, values };
    case 'degraded':
    case 'failed':
      return {
        id,
        level: 'weak',
        text: `${state}${why}`,
        values,
        action:
          reason?.hint === undefined
            ? `See how it does for longer: \`lamplighter sources try ${kind} --seconds 20\`.`
            : actionFrom(reason.hint),
      };
  }
}

async function cameraFact({ environment, node }: Subject): Promise<Fact> {
  const id = 'source.camera';
  const devices = (await namesIn(environment, '/dev')).filter((name) => /^video\d+$/.test(name));
  const [ffmpeg, setpriv] = [
    (await findProgram('ffmpeg', environment)) !== undefined,
    (await findProgram('setpriv', environment)) !== undefined,
  ];
  const values = { devices: devices.length, ffmpeg, setpriv };
  const programs = `${ffmpeg ? 'ffmpeg' : 'no ffmpeg'}, ${setpriv ? 'setpriv' : 'no setpriv'}`;
  const cameras =
    devices.length === 0 ? 'no camera at this machine' : devices.map((name) => `/dev/${name}`).join(', ');
  const text = `${cameras}; ${programs}`;
  const isConfigured = node?.config.sources.some(({ kind }) => kind === 'camera') === true;
  if (!isConfigured || (ffmpeg && setpriv)) return { id, level: 'info', text, values };
  const packages = [...(ffmpeg ? [] : ['ffmpeg']), ...(setpriv ? [] : ['util-linux'])].join(' ');
  return {
    id,
    level: 'weak',
    text: `${text}, and a camera is configured`,
    values,
    action: `Install what cameras are read with: \`apt-get install ${packages}\`.`,
  };
}
