import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeConfig } from '../node/config.js';
import { needs } from '../needs.fixture.js';
import { commandFacts, withAllBelow } from './command-facts.js';
import { configurationKeys } from './configuration-keys.js';
import { manualPages } from './manual.js';
import { lamplighterProgram } from './program.js';
import { roffLines, roffTitle } from './roff.js';

const pages = manualPages(new Date('2026-01-31T00:00:00Z'));
const folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-manual-'));
const at = (name: string): string => path.join(folder, name);

beforeAll(() => {
  for (const [name, text] of pages) writeFileSync(at(name), text);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the manual', () => {
  it('has a page for every command and one for the configuration', () => {
    const commands = withAllBelow(commandFacts(lamplighterProgram())).map(
      ({ path }) => `${path.join('-')}.1`,
    );
    expect([...pages.keys()].sort()).toEqual([...commands, 'lamplighter.yaml.5'].sort());
    expect(commands).toContain('lamplighter-ca-issue.1');
  });

  it('is ASCII, the same every time, and carries the date it is given', () => {
    for (const text of pages.values()) {
      expect(text).toMatch(/^[\n\x20-\x7e]*$/);
      expect(text).toContain('"2026-01-31"');
    }
    expect(manualPages(new Date('2026-01-31T23:59:59Z'))).toEqual(pages);
  });

  it('leaves what --help prints as it is', () => {
    const program = lamplighterProgram();
    const before = program.helpInformation();
    commandFacts(program);
    expect(program.helpInformation()).toBe(before);
  });
});

needs('mandoc')('the manual in mandoc', () => {
  it('has not one fault of style', () => {
    const { stdout, stderr } = spawnSync('mandoc', ['-Tlint', ...[...pages.keys()].map(at)], {
      encoding: 'utf8',
    });
    expect(`${stdout}${stderr}`).toBe('');
  });

  it('shows every option, argument and note that --help shows', () => {
    for (const command of withAllBelow(commandFacts(lamplighterProgram()))) {
      const shown = rendered(`${command.path.join('-')}.1`);
      const said = [
        command.description,
        ...command.options.flatMap(({ names, description }) => [...names, description]),
        ...command.arguments.flatMap(({ name, description }) => [name, description]),
        ...command.notes.split('\n').map((line) => line.trim()),
      ];
      for (const text of said) expect(shown).toContain(inOneLine(text));
    }
  });

  it('shows every key of a configuration with its bounds and default', () => {
    const shown = rendered('lamplighter.yaml.5');
    const keys = configurationKeys(nodeConfig);
    expect(keys.length).toBeGreaterThan(100);
    for (const { path, type, fallback = '', description } of keys) {
      if (path.endsWith('.kind')) continue;
      for (const text of [path, type, fallback, description]) expect(shown).toContain(inOneLine(text));
    }
    expect(shown).toContain(
      'how long the first seeding waits for sources that are not required (whole number from 100 to 600000; default 10000).',
    );
  });

  it('shows any text as it is', () => {
    const text = fc.stringMatching(/^[!-~…’“é→][ -~…’“é→]{0,120}$/).map((any) => inOneLine(any));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 40 }), (texts) => {
        const title = roffTitle('ANY', 1, { date: '2026-01-31', software: 'any' });
        const source = [...title, ...texts.flatMap((any) => ['.SH X', ...roffLines(any)]), ''].join('\n');
        const shown = execFileSync('mandoc', ['-Tutf8', '-O', 'width=200'], {
          input: source,
          encoding: 'utf8',
        });
        const bodies = plain(shown).split(/^X$/m).slice(1);
        expect(bodies.map((body) => inOneLine(body.split(/\n\n?any /)[0] ?? ''))).toEqual(texts);
      }),
      { numRuns: 10 },
    );
  });
});

needs('man', 'groff')('the manual in groff', () => {
  it('is shown without a warning', () => {
    for (const name of pages.keys()) {
      const { status, stdout, stderr } = spawnSync('man', ['--warnings', '-P', 'cat', '-l', at(name)], {
        encoding: 'utf8',
        env: { ...process.env, MANWIDTH: '80', LC_ALL: 'C.UTF-8' },
      });
      expect(stderr).toBe('');
      expect(status).toBe(0);
      expect(stdout).toContain('NAME');
    }
  });
});

/** What a reader sees, in one line. */
const rendered = (name: string): string =>
  inOneLine(plain(execFileSync('mandoc', ['-Tutf8', at(name)], { encoding: 'utf8' })));

/** Without overstriking, by which a terminal is told of bold and italics. */
function plain(text: string): string {
  const pieces = text.split('\b');
  return pieces.map((piece, i) => (i < pieces.length - 1 ? piece.slice(0, -1) : piece)).join('');
}

const inOneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();
