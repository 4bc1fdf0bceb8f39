import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, it } from 'vitest';
import { nativeAddon } from './addon.js';

/** What compiles the addon; with arguments, somewhere else and with other flags. */
export const buildScript = fileURLToPath(new URL('../scripts/build.mjs', import.meta.url));

const compiler = [process.env['CC'], 'cc', 'gcc', 'clang'].find(
  (name) => name !== undefined && spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
);
if (compiler !== undefined) run(process.execPath, [buildScript]);

/** Why there is no addon to test, if so. */
const missing =
  (compiler === undefined && 'a C compiler') ||
  (process.env['LAMPLIGHTER_NATIVE'] === 'off' && 'LAMPLIGHTER_NATIVE not off');

/**
 * A `describe` for tests that need the compiled addon. Where there is none it is one skipped test, whose name says why; where
 * the environment variable CI is set it fails instead.
 */
export function needsAddon(name: string, body: () => void): void {
  if (missing === false) {
    describe(name, body);
    return;
  }
  if ((process.env['CI'] ?? '') !== '') throw new Error(`CI must have ${missing}`);
  // Not the body: what it compiles at its start cannot be compiled.
  it.skip(`${name} (needs ${missing})`, () => undefined);
}

/** The compiled addon's file. */
export function addonFile(): string {
  const found = nativeAddon();
  if (!found.supported) throw new Error(found.reason);
  return found.value;
}

/** A folder that goes away with the `describe` that asked for it; not for use inside a test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'lamplighter-native-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Compiles an addon with `flags` added. @returns its file */
export function compileAddon(folder: string, name: string, ...flags: readonly string[]): string {
  const output = path.join(folder, `${name}.node`);
  run(process.execPath, [buildScript, output, ...flags]);
  return output;
}

/** Compiles faults.fixture.c. @returns a library for LD_PRELOAD */
export function compileFaults(folder: string): string {
  const source = fileURLToPath(new URL('faults.fixture.c', import.meta.url));
  const output = path.join(folder, 'faults.so');
  run(compiler ?? 'cc', ['-shared', '-fPIC', '-O1', '-o', output, source]);
  return output;
}

/**
 * Runs `script` in a Node of its own, where `native` is the addon as C exports it, loaded as in life.
 * @param options - `faults`: the library to preload; `fault`: armed before the addon loads; `env`: added; `prefix`: a
 *   command that runs Node; `addon`: another file than the usual
 * @returns what the script gave to `tell`, as JSON gives it back
 */
export function inChild(
  script: string,
  options: {
    faults?: string;
    fault?: string;
    env?: Record<string, string>;
    prefix?: readonly string[];
    addon?: string;
  } = {},
): unknown[] {
  const { faults, fault, env = {}, prefix = [], addon = addonFile() } = options;
  const preamble = `
    const arm = (fault) => { process.env.FAULT = fault; };
    const tell = (...values) => values.forEach((value) => console.log(JSON.stringify(value)));
    ${fault === undefined ? '' : `arm(${JSON.stringify(fault)});`}
    const native = require(process.argv[1]);
  `;
  const { stdout } = run('env', [...prefix, process.execPath, '-e', preamble + script, addon], {
    ...process.env,
    ...(faults !== undefined && { LD_PRELOAD: faults }),
    ...env,
  });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}

function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): SpawnSyncReturns<string> {
  const result = spawnSync(command, args, { encoding: 'utf8', env, timeout: 60_000 });
  if (result.status !== 0) throw new Error(`${command} ended with ${result.status}: ${result.stderr}`);
  return result;
}

/** Calls a function with arguments its type does not allow, as JavaScript can. For `expect(…).toThrow`. */
export function misuse(call: (...args: never[]) => unknown, ...args: readonly unknown[]): () => unknown {
  return (): unknown => Reflect.apply(call, undefined, args);
}
