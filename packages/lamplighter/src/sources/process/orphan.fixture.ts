/** For tests: a process that hears a command until it is killed. Arguments: a file in which the command writes its number. */
import { systemEnvironment } from '../../local/environment.js';
import { processSource } from './process.js';

const [file = ''] = process.argv.slice(2);
const command = ['sh', '-c', 'echo $$ > "$0"; exec cat /dev/urandom', file];
const source = processSource({ from: { command } }, systemEnvironment());
await source.start({ hear: () => undefined }, new AbortController().signal);
