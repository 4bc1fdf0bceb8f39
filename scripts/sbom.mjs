// The software bill of materials of a release: CycloneDX JSON, of what is installed with the package `lamplighter` and what its page is
// compiled with.
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from './built-tree.mjs';

const ROOT = 'lamplighter';
/** Development dependencies whose code is in a tarball all the same. */
const IN_THE_PAGE = ['preact', 'uplot'];
const MANIFESTS = ['package.json', 'package-lock.json'];
const PACKAGES = ['core', 'native', 'lamplighter'].map((name) => `packages/${name}/package.json`);

/**
 * Writes the bill of a tree by its lock file. `npm sbom --omit dev` leaves out what a development dependency happens to need too,
 * so npm is asked for everything, and what is reachable is kept.
 * @param tree - a checkout; nothing in it is changed
 * @param epoch - seconds since 1970, for its time stamp
 * @returns JSON, the same each time
 * @throws Error when npm fails or a direct dependency is missing
 */
export function sbom(tree, epoch) {
  const bill = askNpm(tree);
  const { version, dependencies } = JSON.parse(readFileSync(join(tree, PACKAGES[2]), 'utf8'));
  const graph = new Map(bill.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  const own = `${ROOT}@${version}`;
  const refs = bill.components.map((one) => one['bom-ref']);
  const page = refs.filter((ref) => IN_THE_PAGE.includes(nameOf(ref)));
  const reached = new Set([own, ...page]);
  for (const ref of reached) for (const next of graph.get(ref) ?? []) reached.add(next);
  const components = bill.components
    .filter((one) => reached.has(one['bom-ref']))
    // Of our own packages npm says the folder's name.
    .map((one) => ({ ...one, name: nameOf(one['bom-ref']) }))
    .toSorted((a, b) => byCode(a['bom-ref'], b['bom-ref']));
  for (const name of [...Object.keys(dependencies), ...IN_THE_PAGE]) {
    if (!components.some((one) => one.name === name)) throw new Error(`npm sbom does not know ${name}`);
  }
  const component = components.find((one) => one['bom-ref'] === own);
  const content = {
    ...bill,
    metadata: { ...bill.metadata, timestamp: new Date(epoch * 1_000).toISOString(), component },
    components: components.filter((one) => one !== component),
    dependencies: [...reached].toSorted(byCode).map((ref) => ({
      ref,
      dependsOn: [...(graph.get(ref) ?? []), ...(ref === own ? page : [])].toSorted(byCode),
    })),
  };
  // Random by nature; here it names this very content.
  content.serialNumber = `urn:uuid:${uuidOf({ ...content, serialNumber: undefined })}`;
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** NAME@VERSION, where the name may begin with an @. */
const nameOf = (ref) => ref.slice(0, ref.lastIndexOf('@'));

/** The same in every locale. */
const byCode = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function askNpm(tree) {
  const folder = mkdtempSync(join(tmpdir(), 'lamplighter-sbom-'));
  try {
    for (const file of [...MANIFESTS, ...PACKAGES]) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      cpSync(join(tree, file), join(folder, file));
    }
    // The workspace is no package and has no version; npm makes no bill without one.
    run('npm', ['pkg', 'set', 'version=0.0.0'], { cwd: folder });
    return JSON.parse(
      run('npm', ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'], { cwd: folder }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** RFC 9562, version 8: our own choice of bits. */
function uuidOf(content) {
  const hex = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
