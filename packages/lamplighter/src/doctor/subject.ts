import inspector from 'node:inspector';
import { createSecureContext } from 'node:tls';
import type { AgentConfig } from '../agent/config.js';
import type { Environment } from '../local/environment.js';
import type { NativeDoors } from '../local/native-doors.js';
import type { NodeConfig } from '../node/config.js';

/** A configuration that was named and is good. */
export interface Configured<C> {
  readonly file: string;
  readonly config: C;
}

/** What is examined: this machine, this process, and what is configured here. Every probe sees no more than this. */
export interface Subject {
  readonly environment: Environment;
  readonly native: Pick<NativeDoors, 'available' | 'reseedOpenssl' | 'lockFile'>;
  readonly runtime: Runtime;
  /** The state folder somebody named; else the configurations' own are looked at, or the agent's usual one. */
  readonly state?: string;
  readonly agent?: Configured<AgentConfig>;
  readonly node?: Configured<NodeConfig>;
}

/** What a process is told by Node, and by who started it. */
export interface Runtime {
  /** `v24.1.0` */
  readonly version: string;
  readonly openssl: string;
  /** Undefined where users have no numbers. */
  readonly userId: number | undefined;
  readonly arguments: readonly string[];
  readonly nodeOptions: string;
  /** LD_PRELOAD */
  readonly preload: string;
  /** Where a debugger may attach, if one may. */
  inspectorUrl(): string | undefined;
  /** Whether TLS offers this key-exchange group. */
  offersGroup(group: string): boolean;
}

/** The real one. */
export function systemRuntime(): Runtime {
  return {
    version: process.version,
    openssl: process.versions.openssl,
    userId: process.geteuid?.(),
    arguments: process.execArgv,
    nodeOptions: process.env['NODE_OPTIONS'] ?? '',
    preload: process.env['LD_PRELOAD'] ?? '',
    inspectorUrl: () => inspector.url(),
    offersGroup(group) {
      try {
        createSecureContext({ ecdhCurve: group });
        return true;
      } catch {
        return false;
      }
    },
  };
}

/** Where seeds are, or will be, each with the id of what is said of it. Never empty, no folder twice. */
export function seedPlaces(
  subject: Subject,
): readonly { readonly suffix: string; readonly folder: string }[] {
  const { state, agent, node } = subject;
  if (state !== undefined) return [{ suffix: '', folder: state }];
  const folders = [agent?.config.state, node?.config.state].filter((folder) => folder !== undefined);
  const [first = DEFAULT_STATE, second] = folders;
  if (second === undefined || second === first) return [{ suffix: '', folder: first }];
  return [
    { suffix: '', folder: first },
    { suffix: '.node', folder: second },
  ];
}

/** As in `agent/config.ts`. */
const DEFAULT_STATE = '/var/lib/lamplighter';
