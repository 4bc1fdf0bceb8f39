// Bundles the agent: a boot waits for it, and a hundred small files take longer to find than to run.
import { readFileSync, rmSync } from 'node:fs';
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
    // Names stay, for whoever reads a stack trace.
    minifyWhitespace: true,
    minifySyntax: true,
    // Loaded only when a YAML file is given; and for requests of certificates, which an agent makes and never reads.
    external: ['zod', 'yaml', '@peculiar/x509', 'reflect-metadata'],
    plugins: [addonFromItsPackage],
    logLevel: 'warning',
  });
}

/** The addon's file stands beside the module that loads it, which is in the bundle now: it is looked for from its package. */
const addonFromItsPackage = {
  name: 'addon-from-its-package',
  setup({ onLoad }) {
    onLoad({ filter: /native\/dist\/addon\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll(
        'import.meta.url',
        "import.meta.resolve('@lamplighter/native')",
      ),
    }));
  },
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundleAgent();
