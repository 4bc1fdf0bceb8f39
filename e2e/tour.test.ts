import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { descendants, signalAll } from './proc.fixture.js';
import { freePorts } from './processes.fixture.js';

const PROGRAM = fileURLToPath(new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url));
const TOUR = fileURLToPath(new URL('../docs/TOUR.md', import.meta.url));
const DEADLINE_MS = 100_000;

it('goes from lamp to kernel as docs/TOUR.md says, command by command', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-tour-'));
  symlinkSync(PROGRAM, path.join(folder, 'lamplighter'));
  const blocks = [...readFileSync(TOUR, 'utf8').matchAll(/^```bash\n([^]*?)^```$/gm)].map(
    ([, text = '']) => text,
  );
  expect(blocks).toHaveLength(7);
  // Other tests run here at the same time: its ports become free ones.
  const ports = await freePorts('9600', '9601', '9602', '9442', '9443', '9444');
  const script = Object.entries(ports).reduce(
    (text, [named, free]) => text.replaceAll(named, String(free)),
    blocks.map((block, i) => `echo "== ${i + 1}"\n${block}`).join('\n'),
  );

  const { code, said } = await bash(`set -eu\n${script}`, folder);
  const step = (number: number): string => said.split(/^== \d$/m)[number] ?? '';
  expect(code, said).toBe(0);
  expect(step(1)).toMatch(/^verdict +healthy/m);
  expect(step(3)).toMatch(/^office {2}ready/m);
  expect(step(3)).toMatch(/^wall +camera +ok, simulated/m);
  expect(step(4)).toMatch(/^relay {2}ready/m);
  expect(step(5)).toMatch(/^machine web-1 until /m);
  expect(step(5)).toMatch(/ written to \/dev\/random: .*1 of 1 required beacons; basis: simulated/);
  expect(step(6)).toContain('no beacon: exit code 2');
  expect(step(6)).toMatch(/^policy +1 names and 1 certificates revoked/m);
  expect(existsSync(path.join(folder, 'tour'))).toBe(false);
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a script, and ends whatever it leaves behind. */
async function bash(script: string, cwd: string): Promise<{ code: number | null; said: string }> {
  const child = spawn('bash', ['-c', script], {
    cwd,
    env: { ...process.env, PATH: `${cwd}:${path.dirname(process.execPath)}:${process.env['PATH'] ?? ''}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  }
  const timer = setTimeout(
    () =>
      signalAll(
        [...descendants(child.pid ?? -1), ...(child.pid === undefined ? [] : [child.pid])],
        'SIGKILL',
      ),
    DEADLINE_MS,
  );
  await once(child, 'close');
  clearTimeout(timer);
  return { code: child.exitCode, said };
}
