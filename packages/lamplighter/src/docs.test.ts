import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { runInNewContext } from 'node:vm';
import { ERROR_ACTIONS, type ErrorAction } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { type CommandFacts, commandFacts, withAllBelow } from './cli/command-facts.js';
import { lamplighterProgram } from './cli/program.js';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const PACKAGES = path.join(ROOT, 'packages');

const doc = (name: string): string => readFileSync(path.join(ROOT, 'docs', name), 'utf8');

/** The cells of every row of every table of a section. */
const rowsOf = (text: string): string[][] =>
  [...text.matchAll(/^\| (.+) \|$/gm)]
    .map(([, cells = '']) => cells.split(' | ').map((cell) => cell.trim()))
    .filter(([first]) => first !== undefined && !/^-+$/.test(first));

describe('docs/ERRORS.md', () => {
  const sections = doc('ERRORS.md').split(/^## /m).slice(1);
  const GROUPS: readonly [title: string, action: ErrorAction][] = [
    ['Not yet', 'wait'],
    ['An input is lost', 'go-on-without'],
    ['The peer is at fault', 'close-connection'],
    ['A person has to act', 'fix-configuration'],
  ];

  it.each(GROUPS)('has each code that stands under "%s", and no other', (title, action) => {
    const section = sections.find((one) => one.startsWith(title)) ?? '';
    const documented = rowsOf(section)
      .map(([code = '']) => code)
      .filter((code) => code !== 'code');
    const known = Object.entries(ERROR_ACTIONS).flatMap(([code, of]) => (of === action ? [code] : []));
    expect(documented.toSorted()).toEqual(known.toSorted());
  });

  it('says of each what happened and what to do', () => {
    for (const cells of sections.flatMap((one) => rowsOf(one))) {
      expect(cells).toHaveLength(3);
      for (const cell of cells) expect(cell.length).toBeGreaterThan(3);
    }
  });
});

describe('docs/LIMITS.md', () => {
  const rows = rowsOf(doc('LIMITS.md')).filter(([what]) => what !== 'what');

  it('says of each limit its value, as it is in the code, and what happens beyond it', () => {
    expect(rows.length).toBeGreaterThan(150);
    for (const cells of rows) {
      expect(cells, cells.join(' | ')).toHaveLength(4);
      const [what = '', limit = '', constant = ''] = cells;
      const [, file = '', name = ''] = /^`([^`]+)` (\w+)$/.exec(constant) ?? [];
      expect(inBaseUnits(limit, name), `${what} (${constant})`).toBe(valueOf(source(file), name));
    }
  });

  it('has every limit on something from outside', () => {
    const documented = new Set([
      ...rows.map(([, , constant = '']) => constant.replaceAll('`', '')),
      ...INTERNAL,
    ]);
    const found = codeFiles().flatMap((file) =>
      [...source(file).matchAll(/^(?:export )?const (\w*(?:MAX|MOST)_\w+)/gm)].map(
        ([, name = '']) => `${file} ${name}`,
      ),
    );
    expect(found.length).toBeGreaterThan(150);
    expect(found.filter((one) => !documented.has(one))).toEqual([]);
    expect(INTERNAL.filter((one) => !found.includes(one))).toEqual([]);
  });
});

describe('every page', () => {
  const commands = withAllBelow(commandFacts(lamplighterProgram()));
  const pages = [
    ...readdirSync(path.join(ROOT, 'docs')).map((name) => `docs/${name}`),
    'README.md',
    'deploy/README.md',
    'deploy/libvirt/README.md',
  ].filter((page) => page.endsWith('.md'));

  it.each(pages)('%s names only commands and options that there are', (page) => {
    const text = readFileSync(path.join(ROOT, page), 'utf8');
    const inline = [...text.matchAll(/`lamplighter ([a-z][^`]*)`/g)].map(([, words = '']) => words);
    const blocks = [...text.matchAll(/^(?:\$ )?(?:until )?lamplighter ([a-z].*)$/gm)].map(
      ([, words = '']) => words,
    );
    for (const words of [...inline, ...blocks]) {
      const unknown = unknownWord(commands, words.replace(/ [#&|>].*/, '').split(/[\s;]+/));
      expect(unknown, `${page}: lamplighter ${words}`).toBeUndefined();
    }
  });

  it.each(pages)('%s links to pages that there are', (page) => {
    const text = readFileSync(path.join(ROOT, page), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
      expect(existsSync(path.resolve(ROOT, path.dirname(page), target)), `${page}: ${target}`).toBe(true);
    }
  });
});

/** The first word of a command line that is no command, or no option of the command it stands behind. */
function unknownWord(commands: readonly CommandFacts[], words: readonly string[]): string | undefined {
  let at = commands[0];
  const known = new Set<string>();
  for (const word of words) {
    const below = at?.commands.find((one) => one.path.at(-1) === word);
    if (below !== undefined) at = below;
    for (const { names } of at?.options ?? []) for (const name of names) known.add(name);
    if (/^--[a-z]/.test(word) && !known.has(word.replace(/=.*/, ''))) return word;
    // A group takes nothing else than its commands.
    const isWord = /^[a-z-]+$/.test(word) && !word.startsWith('-');
    if (below === undefined && at !== undefined && isWord && at.path.length === 1) return word;
  }
  return undefined;
}

/** Bounds of our own sums, of what is shown, and of what another bound follows from: nobody outside can run into them. */
const INTERNAL = [
  'agent/agent.ts MAX_BUSY_BACK_OFF_MS',
  'core/drbg/hmac-drbg.ts MAX_RESEED_INTERVAL',
  'core/fortuna/event-rate.ts MAX_BETWEEN_LOOKS',
  'core/fortuna/keyed-order.ts MAX_BLOCK_EVENTS',
  'identity/policy-folder.ts MAX_FAULTS',
  'identity/policy-watch.ts MOST_GAP_MS',
  'identity/rotation-status.ts MOST_NAMES',
  'identity/token.ts MAX_EXPIRY_S',
  'local/buffered-stream.ts MAX_PAUSE',
  'local/buffered-stream.ts MAX_TAKE_BYTES',
  'local/random-arguments.ts MAX_RANGE',
  'local/seed/machine-mark.ts MAX_TEXT_LENGTH',
  'local/service-notify.ts MAX_TIMER_MS',
  'node/admin/assets.ts MAX_FILE_BYTES',
  'node/admin/assets.ts MOST_FILES',
  'node/admin/login-links.ts MAX_FILE_BYTES',
  'node/fleet/audit.ts MAX_SPARE',
  'node/host/host-machine.ts MAX_TEXT_BYTES',
  'node/host/host-machine.ts MAX_VERSION_LENGTH',
  'node/host/qemu-arguments.ts MAX_PERIOD_BYTES',
  'outlets/trickle/trickle.ts MAX_FAULT_LENGTH',
  'sources/camera/browser-input.ts MOST_BYTES_PER_MS',
  'sources/camera/ffmpeg-child.ts MAX_COMPLAINT_SHOWN',
  'sources/camera/ffmpeg-report.ts MAX_COMPLAINTS',
  'sources/camera/ffmpeg-report.ts MAX_COMPLAINT_LENGTH',
  'sources/camera/ffmpeg-report.ts MAX_LOST_LINES',
  'sources/camera/multipart.ts MAX_DELIMITER_LENGTH',
  'sources/camera/noise-map.ts MOST_CHROMA',
  'sources/camera/picture-pairing.ts MAX_SPARE',
  'sources/child-answer.ts MAX_COMPLAINT_SHOWN',
  'sources/jitter/jitter.ts BURST_MAX_NS',
  'sources/jitter/start-up-test.ts MAX_BACKWARDS',
  'sources/jitter/start-up-test.ts MAX_STUCK_SHARE',
  'sources/mailbox/listing.ts MAX_RECORD_BYTES',
  'sources/process/origin.ts MAX_HOST_LENGTH',
  'sources/process/origin.ts MAX_SOCKET_PATH_BYTES',
  'wire/carrier.ts MAX_FRAME_BYTES',
  'wire/feed.ts MAX_U64',
  'wire/handshake-pace.ts MAX_GATHERED',
  'wire/mailbox.ts MAX_NAME_BYTES',
  'wire/xenstore-connection.ts MAX_WAITING',
  'wire/xenstore.ts MAX_XENSTORE_PATH_BYTES',
  'wire/xenstore.ts MAX_XENSTORE_RELATIVE_PATH_BYTES',
];

/** A file as the page names it. */
const placeOf = (file: string): string =>
  file.startsWith('core/') ? file.replace('core/', 'core/src/') : `lamplighter/src/${file}`;
const source = (file: string): string => readFileSync(path.join(PACKAGES, placeOf(file)), 'utf8');

/** All of our code but the demonstration, the doctor, and the sums of the cameras' health tests, which bound themselves. */
function codeFiles(): string[] {
  const below = (folder: string): string[] =>
    readdirSync(path.join(PACKAGES, folder), { recursive: true, encoding: 'utf8' });
  return [...below('core/src').map((file) => `core/${file}`), ...below('lamplighter/src')].filter(
    (file) =>
      file.endsWith('.ts') &&
      !/\.(test|fixture|compliance)\.ts$/.test(file) &&
      !/^(demo|doctor|sources\/camera\/health)\//.test(file),
  );
}

const FACTORS: Readonly<Record<string, number>> = {
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `16 KiB` in bytes, `30 s` in milliseconds or, for a constant in nanoseconds, in those; else the number itself. */
function inBaseUnits(limit: string, name: string): number {
  const [, number = '', unit = ''] = /^([0-9,]+)(?: (\S+))?/.exec(limit) ?? [];
  const base = name.endsWith('_NS') ? 1_000_000 : 1;
  return Number(number.replaceAll(',', '')) * (FACTORS[unit] ?? 1) * base;
}

/** What a constant, or a key of an object of constants, is in a source file: a sum of plain numbers. */
function valueOf(text: string, name: string): number {
  const [, sum = ''] = new RegExp(`\\b${name}(?::[^=;,]+)?(?: =|:) ([\\d(][^;,}]*)[;,}]`).exec(text) ?? [];
  const plain = sum.replace(/(?<=\d)[_n]/g, '').trim();
  if (!/^[0-9+\-*/ ()]+$/.test(plain)) throw new Error(`${name} is no number: ${sum}`);
  return Number(runInNewContext(plain));
}
