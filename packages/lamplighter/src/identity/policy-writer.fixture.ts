/* For tests: a process of its own that decides many things, as fast as it can. */
import { removeQuota, revokeName, setQuota, unrevokeName } from './policy-changes.js';

const [caFolder = '', own = '', times = '0'] = process.argv.slice(2);
for (let i = 0; i < Number(times); i++) {
  await revokeName(caFolder, 'shared', `by ${own}`);
  await revokeName(caFolder, `${own}-${i}`);
  await setQuota(caFolder, 'shared', { connections: i + 1 });
  if (i % 2 === 0) await unrevokeName(caFolder, `${own}-${i}`);
}
await removeQuota(caFolder, own);
