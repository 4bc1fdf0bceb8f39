import { createRequire } from 'node:module';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/** Name and version of this program, as status and logs show it. */
export const SOFTWARE = `lamplighter ${version}`;
