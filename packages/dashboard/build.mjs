// Builds the page into packages/lamplighter/dist/dashboard, from where the node serves it: fixed names, no source maps, no
// inline script or style, so that the strictest Content-Security-Policy lets it through. Nothing is taken away first: a node that
// starts meanwhile finds a whole page.
import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const SOURCE = fileURLToPath(new URL('src/', import.meta.url));
const TARGET = fileURLToPath(new URL('../lamplighter/dist/dashboard/', import.meta.url));

/** What a page is made from; the first that is there of each name is taken. */
const ENTRIES = ['dashboard.tsx', 'dashboard.css', 'login.ts', 'camera-page.tsx', 'camera-page.css'];

const files = await readdir(SOURCE);
await mkdir(`${TARGET}assets`, { recursive: true });
await build({
  entryPoints: ENTRIES.filter((entry) => files.includes(entry)).map((entry) => ({
    in: SOURCE + entry,
    out: entry.replace(/-page|\.[a-z]+$/g, ''),
  })),
  outdir: `${TARGET}assets`,
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022', 'chrome110', 'firefox115', 'safari16'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'eof',
  logLevel: 'warning',
});
await copyFile(`${SOURCE}lamp.svg`, `${TARGET}assets/lamp.svg`);
for (const name of files.filter((file) => file.endsWith('.html')))
  await copyFile(SOURCE + name, TARGET + name);
