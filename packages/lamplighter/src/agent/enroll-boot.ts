import { basename, join, resolve } from 'node:path';
import { SeedKeeper } from '../local/seed/seed-keeper.js';
import type { EnrollAnswer } from '../wire/enroll-client.js';
import type { OutgoingConnections } from '../wire/outgoing.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason } from '../wire/status.js';
import { isThere } from '../local/is-there.js';
import { boot, type BootReport } from './boot.js';
import { loadAgentConfig } from './config-file.js';
import { type EnrollPaths, writeConfigOnce } from './enroll-files.js';
import { DEFAULT_STATE, type EnrollDoors, type EnrollOptions } from './enroll-options.js';
import { writeReport } from './report-file.js';

/**
 * Writes the agent's configuration, unless there is one or nobody said where beacons are.
 * @returns whether there is one now, and whether it was written now
 * @throws LamplighterError ERR_OUTPUT_FILE
 */
export async function configure(
  paths: EnrollPaths,
  { relay, peer, state, onProgress }: EnrollOptions,
  { answer, relay: server }: EnrollAnswer,
  fs: EnrollDoors['environment']['fs'],
): Promise<{ isThere: boolean; made: boolean }> {
  const { relays = [], beaconPort } = answer;
  const ours = {
    name: server.name,
    url: `https://${relay.hostname}:${beaconPort}`,
    ...(peer !== undefined && { peer }),
  };
  const told = relays.length === 0 && beaconPort !== undefined ? [ours] : relays;
  if (told.length === 0) {
    const isWritten = await isThere({ fs }, paths.config);
    if (!isWritten)
      onProgress(`WARNING: the relay did not say where beacons are: write ${paths.config} by hand`);
    return { isThere: isWritten, made: false };
  }
  const folder = resolve(state);
  const made = await writeConfigOnce(
    paths,
    {
      tls: { ca: basename(paths.ca), cert: basename(paths.identity), key: basename(paths.identity) },
      relays: told,
      state: folder,
      // /run belongs to the one agent of a machine whose state is in the usual place.
      ...(folder !== DEFAULT_STATE && { report: join(folder, 'agent.json') }),
    },
    fs,
  );
  if (!made) onProgress(`${paths.config} was there before, and is as it was`);
  return { isThere: true, made };
}

/**
 * One boot with the new identity, as `agent --once` does it: it folds the first beacon into the seed.
 * @returns what it did, or why there was none; never throws for want of a beacon
 */
export async function firstBoot(
  paths: EnrollPaths,
  { signal, requireHedge = false, onProgress }: EnrollOptions,
  doors: EnrollDoors,
  outgoing: OutgoingConnections,
): Promise<{ readonly boot?: BootReport; readonly bootReason?: Reason }> {
  try {
    const config = await loadAgentConfig(doors.environment, paths.config);
    if (config.tls.cert !== paths.identity) {
      onProgress(`WARNING: ${paths.config} uses ${config.tls.cert}, not ${paths.identity}`);
    }
    const keeper = new SeedKeeper(config.state, doors);
    const use = keeper.open();
    const report = await boot(config, { ...doors, keeper, outgoing }, { signal, use, requireHedge });
    const unwritten = await writeReport(doors.environment, config.report, { resident: false, last: report });
    return { boot: report, ...(unwritten && { bootReason: reasonOf(unwritten) }) };
  } catch (error) {
    return { bootReason: reasonOf(error) };
  }
}
