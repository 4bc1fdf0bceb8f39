import { spawnSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isFull, inFull, needs } from '../../packages/lamplighter/src/needs.fixture.js';
import {
  COMPILERS,
  fetched,
  LONGEST_SETUP_MS,
  manifest,
  printed,
  ROOT,
  temporaryFolder,
  unpacked,
} from './packed.fixture.js';

const five = fetched('typescript', '5.9.3');
const TYPESCRIPTS: [string, string | undefined][] = [
  ['5.9.3', five && path.join(five, 'bin/tsc')],
  [manifest(ROOT, 'node_modules/typescript').version, path.join(ROOT, 'node_modules/typescript/bin/tsc')],
];
const BOTH = ['use.mts', 'use.cts'];

/** For what is quick, or for a full run: all of it. */
const FURTHER_SETTINGS: [string, string[], string[]][] = [
  ['nodenext, resolved as node16', ['--module', 'nodenext', '--moduleResolution', 'node16'], BOTH],
  ['node20', ['--module', 'node20'], BOTH],
  ['node16, ES modules', ['--module', 'node16'], ['use.mts']],
  ['bundler, preserve', ['--module', 'preserve', '--moduleResolution', 'bundler'], BOTH],
];
const SETTINGS: typeof FURTHER_SETTINGS = [
  ['bundler', ['--module', 'esnext', '--moduleResolution', 'bundler'], ['use.ts']],
];

const USE = `
  import { hkdfExpand, mix, noSecretKey } from '@lamplighter/core';
  import { type Ability, nativeAddon, rdseed } from '@lamplighter/native';
  import { Lamplighter, LamplighterError, type LamplighterStatus, randomBytes, status } from 'lamplighter';
  import { hedge, type HedgeStatus } from 'lamplighter/register';

  const bytes: Buffer = randomBytes(8);
  const now: LamplighterStatus = status();
  const own: Lamplighter = Lamplighter.create();
  const hedged: HedgeStatus = hedge.status();
  const mixed: Uint8Array = mix(noSecretKey(), 'types', [{ label: 'os', bytes }]);
  const addon: Ability<string> = nativeAddon();
  const seed = rdseed(8);
  // @ts-expect-error a size is a number: nothing here is any
  const wrongSize = () => randomBytes('8');
  // @ts-expect-error the value is there only where it is supported
  const wrongValue = () => seed.value;
  const error: Error = new LamplighterError('ERR_NOT_SEEDED', 'no');
  console.log(own.status().reseeds, now.seeded, hedged.state, hkdfExpand(mixed, 'x', 8).length);
  console.log(addon.supported, error.message, wrongSize.name, wrongValue.name);
  process.exit();
`;

inFull(() => needs(...COMPILERS, 'tar'))('whoever writes TypeScript', () => {
  const { folder: project, remove } = temporaryFolder();
  afterAll(remove);
  beforeAll(() => {
    unpacked(project);
    for (const types of ['@types', 'undici-types']) {
      symlinkSync(path.join(ROOT, 'node_modules', types), path.join(project, 'node_modules', types));
    }
    writeFileSync(path.join(project, 'package.json'), '{ "private": true }');
    for (const file of [...BOTH, 'use.ts']) writeFileSync(path.join(project, file), USE);
  }, LONGEST_SETUP_MS);

  describe.each(TYPESCRIPTS)('with %s', (_, compiler = '') => {
    const isQuick = !compiler.includes('@5.');
    const check = it.skipIf(compiler === '');

    /** @returns the codes of what it found wrong; where that is quick, with all that the declarations refer to */
    function compiled(files: readonly string[], options: readonly string[]): string[] {
      const args = [
        '--strict',
        '--skipLibCheck',
        `${!isQuick && !isFull}`,
        '--target',
        'es2023',
        '--types',
        'node',
      ];
      const { stdout, status } = spawnSync(process.execPath, [compiler, ...args, ...options, ...files], {
        cwd: project,
        encoding: 'utf8',
      });
      const codes = [...stdout.matchAll(/error (TS\d+)/g)].map(([, code = '']) => code);
      expect(codes.length === 0, stdout).toBe(status === 0);
      return codes;
    }

    check(
      'nodenext: ES modules and CommonJS see every entry’s types, and what is made of either runs',
      () => {
        expect(compiled(BOTH, ['--module', 'nodenext'])).toEqual([]);
        for (const file of ['use.mjs', 'use.cjs']) {
          const output = printed({ command: [process.execPath] }, [file], { cwd: project });
          expect(output).toMatch(/hedged 8\ntrue no wrongSize wrongValue\n$/);
        }
      },
    );

    const settings = isQuick || isFull ? [...SETTINGS, ...FURTHER_SETTINGS] : SETTINGS;
    check.each(settings)('%s: every entry has its types', (__, options, files) => {
      expect(compiled(files, [...options, '--noEmit'])).toEqual([]);
    });

    check('node16, CommonJS: refused with TS1479 for each import, and for nothing else', () => {
      const codes = compiled(['use.cts'], ['--module', 'node16', '--noEmit']);
      expect(codes).toEqual(['TS1479', 'TS1479', 'TS1479', 'TS1479']);
    });
  });
});
