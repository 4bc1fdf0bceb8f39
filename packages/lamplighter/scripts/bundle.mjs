// Bundles the agent: a boot waits for it, and a hundred small files take longer to find than to run.
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Writes dist/bundle/agent-main.js and what it loads only when it must; `tsc -b` must have run. */
export async function bundleAgent() {
  rmSync(at('../dist/bundle'), { recursive: true, force: true });
  await build({
    entryPoints: [at('../dist/cli/agent-main.js')],
    outdir: at('../dist/bundle'),
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    // The addon is found from its own package; the rest is loaded only when a YAML file is given.
    external: ['@lamplighter/native', 'zod', 'yaml'],
    logLevel: 'warning',
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundleAgent();
