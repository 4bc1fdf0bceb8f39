import type { BootReport } from '../../agent/boot.js';
import type { NodeStatus, Reason, SourceStatus } from '../../wire/status.js';

/** What is known of the chain at one moment. */
export interface Chain {
  readonly office: NodeStatus | undefined;
  readonly relay: NodeStatus | undefined;
  readonly boot: BootReport | undefined;
}

/**
 * Tells, line by line, what has happened since the last look: how the light of the lamps becomes bytes in the kernel.
 * Each line is told once for as long as what it tells stays true.
 */
export function newFlow(tell: (hop: string, line: string) => void): (chain: Chain) => void {
  const told = new Set<string>();
  const troubles = new Map<string, readonly Reason[]>();

  function once(key: string, isTrue: boolean, hop: string, line: () => string): void {
    if (!isTrue) {
      told.delete(key);
      return;
    }
    if (told.has(key)) return;
    told.add(key);
    tell(hop, line());
  }

  /**
   * Tells of every reason that came since the last look, and of every one that went.
   * @param isOver - the kernel is seeded: who is not ready by now is late
   */
  function trouble(hop: string, node: NodeStatus | undefined, isOver: boolean): void {
    if (node === undefined) return;
    const before = troubles.get(hop) ?? [];
    // A node that has just started has not heard everybody yet: that is no news.
    const now = node.generator.seeded || isOver ? node.reasons : [];
    const news = (these: readonly Reason[], those: readonly Reason[]): Reason[] =>
      these.filter(({ message }) => those.every((other) => other.message !== message));
    for (const reason of news(now, before)) tell(hop, describe(reason));
    for (const { message } of news(before, now)) tell(hop, `recovered: ${message}`);
    troubles.set(hop, now);
  }

  return ({ office, relay, boot }) => {
    const camera = office?.sources.find(({ kind }) => kind === 'camera');
    const feed = relay?.sources.find(({ kind }) => kind === 'feed');
    once(
      'lens',
      (camera?.bytes ?? 0) > 0,
      'lens',
      () => `the first frame is heard and hashed${simulated(camera)}`,
    );
    once(
      'office',
      office?.generator.seeded === true,
      'office',
      () => `seeded from ${heard(office)}; feeds its relays`,
    );
    once(
      'feed',
      (feed?.bytes ?? 0) > 0,
      'feed',
      () => 'the office’s entropy arrives at the relay, over mutual TLS 1.3',
    );
    once(
      'relay',
      relay?.generator.seeded === true,
      'relay',
      () => `seeded from ${heard(relay)}; gives beacons`,
    );
    trouble('office', office, boot !== undefined);
    trouble('relay', relay, boot !== undefined);
    if (boot !== undefined) tellBoot(boot, once);
  };
}

function tellBoot(
  boot: BootReport,
  once: (key: string, isTrue: boolean, hop: string, line: () => string) => void,
): void {
  once(
    'machine',
    boot.beacons > 0,
    'machine',
    () => `${boot.beacons} beacon of 64 bytes, mixed with ${others(boot)}`,
  );
  const { kernel } = boot;
  if ('reason' in kernel) once('kernel', true, 'kernel', () => describe(kernel.reason));
  else {
    once(
      'kernel',
      true,
      'kernel',
      () =>
        `${kernel.bytesWritten} bytes written to ${kernel.device}: mixed in, ${kernel.creditedBits} bits credited`,
    );
  }
}

const describe = ({ code, message, hint }: Reason): string =>
  `${message} [${code}]${hint === undefined ? '' : `; hint: ${hint}`}`;

const simulated = (source: SourceStatus | undefined): string =>
  source?.basis.simulated ? ' (simulated: credited 0)' : '';

const heard = (node: NodeStatus | undefined): string =>
  (node?.sources ?? [])
    .filter(({ bytes }) => bytes > 0)
    .map(({ name }) => name)
    .join(', ');

const others = (boot: BootReport): string =>
  Object.entries(boot.sources)
    .filter(([label, bytes]) => bytes > 0 && !label.startsWith('beacon'))
    .map(([label]) => label)
    .join(' and ');
