import type { Command } from 'commander';
import { answer, explain, say } from './terminal.js';

const DEFAULT_STATE = '/var/lib/lamplighter';

/** `lamplighter seed create` and `lamplighter seed show` */
export function addSeedCommand(program: Command): void {
  const seed = program
    .command('seed')
    .description('the machine seed: the secret that keys this machine’s first TLS connection');

  seed
    .command('create')
    .description('make it from this machine’s own sources, where there is none')
    .option('--state <dir>', 'the state folder of the agent or node', DEFAULT_STATE)
    .option('--replace', 'make another in its place: it was lost, copied, or somebody may know it')
    .action(async ({ state, replace }: { state: string; replace?: true }) => {
      const [{ firstSeed }, doors] = await Promise.all([
        import('../local/seed/first-seed.js'),
        openStore(state),
      ]);
      const { store, environment, process } = doors;
      const bytes = firstSeed(environment, process);
      try {
        await store.create(bytes, { replace: replace === true });
      } finally {
        bytes.fill(0);
      }
      answer(`${store.path}: made`);
    });

  seed
    .command('show')
    .description('say how it is, without using it; nothing secret')
    .option('--state <dir>', 'the state folder of the agent or node', DEFAULT_STATE)
    .option('--json', 'print an object')
    .action(async ({ state, json }: { state: string; json?: true }) => {
      const { store } = await openStore(state);
      const { path, counter, lastChangedMs, fault } = await store.facts();
      const lastChanged = new Date(lastChangedMs).toISOString();
      if (json) {
        const { code, message, hint } = fault ?? {};
        const why = fault === undefined ? {} : { fault: { code, message, hint } };
        answer(JSON.stringify({ path, uses: Number(counter), lastChanged, ...why }));
      } else {
        answer(`${path}: used or folded ${counter} times, last changed ${lastChanged}`);
      }
      if (fault === undefined) return;
      process.exitCode = explain(fault);
      say('lamplighter: until then it is mixed in, and nothing is claimed of it');
    });
}

async function openStore(folder: string) {
  const [{ SeedStore }, { systemEnvironment }, { systemNative }, { systemProcess }] = await Promise.all([
    import('../local/seed/seed-store.js'),
    import('../local/environment.js'),
    import('../local/native-doors.js'),
    import('../local/process-environment.js'),
  ]);
  const environment = systemEnvironment();
  const store = new SeedStore(folder, { environment, native: systemNative });
  return { store, environment, process: systemProcess() };
}
