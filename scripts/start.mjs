// `npm start -- ARGS`: installs and builds if need be, then is `lamplighter up ARGS`.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare, root } from './prepare.mjs';

prepare();
const program = join(root, 'packages/lamplighter/bin/lamplighter.js');
process.argv = [process.execPath, program, 'up', ...process.argv.slice(2)];
await import(pathToFileURL(program).href);
