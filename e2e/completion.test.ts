import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lamplighterProgram } from '../packages/lamplighter/dist/cli/program.js';
import { needs } from '../packages/lamplighter/src/needs.fixture.js';
import { run } from './processes.fixture.js';

const execute = promisify(execFile);
const folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-completion-'));
const script = (shell: string): string =>
  path.join(folder, shell === 'zsh' ? '_lamplighter' : `${shell}.txt`);

beforeAll(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await run(['completion', shell]);
    expect(code).toBe(0);
    writeFileSync(script(shell), stdout);
  }
  writeFileSync(path.join(folder, 'a file.yaml'), '');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What bash offers for each command line; the last word is the one being typed. */
async function bashOffers(lines: readonly (readonly string[])[]): Promise<string[][]> {
  const asks = lines.map((words) => {
    const quoted = words.map((word) => `'${word}'`).join(' ');
    return `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _lamplighter; printf '%s\\n' "\${COMPREPLY[@]}"; echo ---`;
  });
  const text = `source '${script('bash')}'\n${asks.join('\n')}\n`;
  const { stdout, stderr } = await execute('bash', ['--norc', '-c', text], { cwd: folder });
  expect(stderr).toBe('');
  return stdout
    .split('---\n')
    .slice(0, -1)
    .map((part) => part.split('\n').filter((word) => word !== ''));
}

describe('what is completed', () => {
  it.each<[string, readonly string[], readonly string[]]>([
    ['a command', ['ca', 'is'], ['issue']],
    ['an option', ['ca', 'issue', '--ro'], ['--role']],
    ['a value with choices', ['token', 'create', '--role', 'ma'], ['machine']],
    ['a value behind an equals sign', ['token', 'create', '--role', '=', 'ma'], ['machine']],
    ['an option of the command above', ['agent', 'renew', '--conf'], ['--config']],
    ['an argument with choices', ['completion', ''], ['bash', 'zsh', 'fish']],
    ['a command after an option with a value', ['host', '--config', 'ini', 'ini'], ['init']],
    ['a file with a space', ['node', '--config', 'a'], ['a file.yaml']],
    ['a file as an argument', ['config', 'check', 'a'], ['a file.yaml']],
    ['an argument after --', ['config', 'check', '--', 'a'], ['a file.yaml']],
    ['nothing where nothing is known', ['token', 'create', '--name', ''], []],
    ['no file where a folder is meant', ['ca', 'list', 'a'], []],
  ])('%s', async (_, words, offered) => {
    expect(await bashOffers([['lamplighter', ...words]])).toEqual([offered]);
  });

  it('is every command and every option that --help has, of every command', async () => {
    const pages = helpPages(lamplighterProgram());
    expect(pages.length).toBeGreaterThan(35);
    const groups = pages.filter(({ commands }) => commands.length > 0);
    const offers = await bashOffers([
      ...groups.map((page) => [...page.path, '']),
      ...pages.map((page) => [...page.path, '--']),
    ]);
    groups.forEach((page, i) => expect(offers[i], page.path.join(' ')).toEqual(page.commands));
    pages.forEach((page, i) =>
      expect(offers[groups.length + i], page.path.join(' ')).toEqual(expect.arrayContaining(page.options)),
    );
  });
});

it('completes in bash at a press of the key', async () => {
  // What is typed and completed is run: by a function in place of the program, which says what it was called with.
  const typed = `source '${script('bash')}'; lamplighter() { echo "[$*]"; }\nlamplighter ca is\t--ro\tmach\t\nexit\n`;
  expect(await inTerminal('bash --norc --noprofile -i', typed, '[ca issue --role machine]')).toBe(true);
});

needs('fish')('fish', () => {
  it.each([
    ['lamplighter ca is', 'issue'],
    ['lamplighter ca issue --ro', '--role'],
    ['lamplighter token create --role ma', 'machine'],
    ['lamplighter agent renew --conf', '--config'],
    [`lamplighter config check a`, 'a file.yaml'],
  ])('completes %s', async (line, offered) => {
    const text = `source ${script('fish')}; complete -C '${line}'`;
    const { stdout, stderr } = await execute('fish', ['--no-config', '-c', text], {
      cwd: folder,
      env: { ...process.env, HOME: folder },
    });
    expect(stderr).toBe('');
    expect(stdout.replaceAll('\\ ', ' ').split('\n')[0]?.split('\t')[0]).toBe(offered);
  });
});

needs('zsh')('zsh', () => {
  it('completes at a press of the key', async () => {
    const typed = `fpath=(${folder} $fpath); autoload -Uz compinit; compinit -u -D; lamplighter() { echo "[$*]" }\nlamplighter ca is\t--ro\tmach\t\nexit\n`;
    expect(await inTerminal('zsh -f -i', typed, '[ca issue --role=machine]')).toBe(true);
  });
});

/** Types into a shell on a terminal of script(1), of bsdutils. @returns whether it said what is awaited before it ended */
async function inTerminal(shell: string, typed: string, awaited: string): Promise<boolean> {
  const child = spawn('script', ['-qec', shell, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: folder,
    env: { ...process.env, TERM: 'dumb', HOME: folder, PS1: '' },
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stdin.write(typed);
  await new Promise((resolve) => child.once('close', resolve));
  return said.includes(awaited);
}

interface HelpPage {
  readonly path: readonly string[];
  readonly commands: string[];
  readonly options: string[];
}

/** What the help of a command and of all below it lists, as a person reads it. */
function helpPages(command: Command, above: readonly string[] = []): HelpPage[] {
  const text = command.helpInformation();
  const under = (title: string): string[] =>
    (new RegExp(`^${title}:\\n((?: {2}.*\\n)+)`, 'm').exec(text)?.[1] ?? '').split('\n');
  const commands = under('Commands')
    .flatMap((line) => /^ {2}([a-z]\S*)/.exec(line)?.[1] ?? [])
    .filter((name) => name !== 'help');
  const options = under('Options').flatMap((line) => /^ {2}(?:-\w, )?(--[a-z-]+)/.exec(line)?.[1] ?? []);
  const path = [...above, command.name()];
  const below = commands.map((name) => command.commands.find((one) => one.name() === name));
  return [
    { path, commands, options },
    ...below.flatMap((one) => (one === undefined ? [] : helpPages(one, path))),
  ];
}
