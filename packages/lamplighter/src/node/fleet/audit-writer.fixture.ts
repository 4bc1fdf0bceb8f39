import { systemEnvironment } from '../../local/environment.js';
import { systemNative } from '../../local/native-doors.js';
import { NO_BASIS } from '../../wire/basis.js';
import { AuditLog } from './audit.js';

/*
 * For tests: a process that writes an audit record as fast as it can until it is killed. Its one argument is the path.
 */
const [, , path = ''] = process.argv;
const environment = systemEnvironment();
const log = new AuditLog({
  path,
  maxBytes: 1_048_576,
  files: 3,
  origin: { software: 'lamplighter 0', node: 'relay-1', start: 7n, instanceId: new Uint8Array(16) },
  environment,
  native: systemNative,
});
const peer = { role: 'machine', name: 'web-1', serial: '4A' } as const;
let counter = 0n;

function some(): void {
  for (let i = 0; i < 200; i += 1) {
    counter += 1n;
    log.record({ atNs: environment.realtimeNs(), peer, start: 7n, counter, basis: NO_BASIS });
  }
  setImmediate(some);
}

await log.open();
some();
