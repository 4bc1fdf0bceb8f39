import { StuckBytes } from '../sources/stuck-bytes.js';
import type { Fact } from './fact.js';
import type { Subject } from './subject.js';

const HYBRID_GROUP = 'X25519MLKEM768';
const SAMPLE_BYTES = 64;
/** package.json, `engines`. */
const LEAST_VERSION: readonly [number, number] = [20, 19];
const INSPECTING = /--inspect(?!-publish-uid)/;

/** What this Node is, and who may look into it. */
export function runtimeFacts(subject: Subject): readonly Fact[] {
  return [
    versionFact(subject),
    rngFact(subject),
    groupFact(subject),
    debuggerFact(subject),
    preloadFact(subject),
  ];
}

function versionFact({ runtime: { version, openssl } }: Subject): Fact {
  const id = 'node.version';
  const [major = 0, minor = 0] = version.slice(1).split('.').map(Number);
  const isOld = major < LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor < LEAST_VERSION[1]);
  const values = { node: version, openssl };
  const text = `Node ${version} with OpenSSL ${openssl}`;
  if (!isOld) return { id, level: 'ok', text, values };
  return {
    id,
    level: 'weak',
    text: `${text}: older than ${LEAST_VERSION.join('.')}`,
    values,
    action: 'Install Node 24: `npm install --global node@24`.',
  };
}

/** OpenSSL's own generator, which TLS draws on. */
function rngFact({ environment }: Subject): Fact {
  const id = 'node.rng';
  const watch = new StuckBytes();
  let fault: string | undefined;
  for (let draws = 0; draws < 2; draws += 1) {
    const bytes = environment.runtimeRandom(SAMPLE_BYTES);
    fault ??= watch.fault(bytes);
    bytes.fill(0);
  }
  if (fault === undefined) return { id, level: 'ok', text: 'OpenSSL’s generator gives bytes' };
  return {
    id,
    level: 'broken',
    text: `OpenSSL’s generator ${fault}`,
    action: 'Find out what was put before OpenSSL: `env | grep -E "LD_PRELOAD|OPENSSL_CONF|NODE_OPTIONS"`.',
  };
}

function groupFact({ runtime }: Subject): Fact {
  const hybrid = runtime.offersGroup(HYBRID_GROUP);
  return {
    id: 'node.hybrid',
    level: hybrid ? 'ok' : 'info',
    text: hybrid
      ? `TLS offers ${HYBRID_GROUP}`
      : `TLS does not know ${HYBRID_GROUP}: what is recorded today may be read by a quantum computer one day; Node 24 has it`,
    values: { hybrid },
  };
}

function debuggerFact({ runtime }: Subject): Fact {
  const id = 'node.debugger';
  const url = runtime.inspectorUrl();
  const told = [...runtime.arguments, runtime.nodeOptions].some((text) => INSPECTING.test(text));
  const values = { listening: url !== undefined, asked: told };
  if (url === undefined && !told) return { id, level: 'ok', text: 'no debugger can attach', values };
  return {
    id,
    level: 'weak',
    text: `a debugger can attach to what is started like this, and read every secret`,
    values,
    action: 'Start Node without --inspect: `unset NODE_OPTIONS`.',
  };
}

function preloadFact({ runtime: { preload, nodeOptions } }: Subject): Fact {
  const id = 'node.preload';
  // Options may hold anything, passwords too: only what they are called is said.
  const names = [...nodeOptions.matchAll(/--[a-z-]+/g)].map(([name]) => name).join(' ');
  const values = { preload: preload !== '', nodeOptions: names };
  const options = names === '' ? '' : `; NODE_OPTIONS: ${names}`;
  if (preload === '') return { id, level: 'info', text: `nothing is preloaded${options}`, values };
  return {
    id,
    level: 'weak',
    text: `LD_PRELOAD puts code of others into every program started like this${options}`,
    values,
    action: 'Start without it: `unset LD_PRELOAD`.',
  };
}
