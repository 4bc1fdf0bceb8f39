import type { Endpoint } from '../../local/environment.js';
import type { GuestPort, GuestWays, Reconnect } from './guest-ways.js';

/** The device that changes its number when a guest is restored or cloned. */
export const VM_GENERATION = ['-device', 'vmgenid,guid=auto'] as const;

/**
 * A request that QEMU's rng-egd makes while nobody listens is lost, and the guest waits for its answer. QEMU asks once more for
 * what a guest still waits for: when the period is over that was begun by the first request in it. So a period is far longer
 * than a node takes to be restarted; with one second a guest's /dev/hwrng hangs until the guest is started anew (seen).
 */
const PERIOD_MS = 30_000;
/** libvirt reads it as an int. */
const MAX_PERIOD_BYTES = 2 ** 31 - 1;

/** What virtio-rng is limited to: a rate, and that much saved up. */
export function virtioRngLimit({ bytesPerSecond }: NonNullable<GuestWays['egd']>): {
  readonly maxBytes: number;
  readonly periodMs: number;
} {
  return {
    maxBytes: Math.min(MAX_PERIOD_BYTES, (bytesPerSecond * PERIOD_MS) / 1_000),
    periodMs: PERIOD_MS,
  };
}

/**
 * QEMU's arguments for whatever the configuration has for guests, option and value in turn.
 *
 * `reconnect`: without it QEMU would not start while nobody listens, and its guests would stay without after a restart of the
 * node. Names begin with `lamplighter`, so that they meet no others.
 */
export function qemuArguments({ egd, ports, reconnect }: GuestWays): string[] {
  return [...(egd === undefined ? [] : virtioRng(egd, reconnect)), ...virtioSerial(ports, reconnect)];
}

function virtioRng(egd: NonNullable<GuestWays['egd']>, reconnect: Reconnect): string[] {
  const { maxBytes, periodMs } = virtioRngLimit(egd);
  return [
    ['-chardev', `socket,id=lamplighter-egd,${qemuAddress(egd.endpoint)},${reconnect}`],
    ['-object', 'rng-egd,id=lamplighter-rng,chardev=lamplighter-egd'],
    ['-device', `virtio-rng-pci,rng=lamplighter-rng,max-bytes=${maxBytes},period=${periodMs}`],
  ].flat();
}

function virtioSerial(ports: readonly GuestPort[], reconnect: Reconnect): string[] {
  if (ports.length === 0) return [];
  const bus = ['-device', 'virtio-serial-pci,id=lamplighter-serial'];
  return [
    ...bus,
    ...ports.flatMap(({ name, path, qemuListens }, i) => {
      const id = `lamplighter-port-${i + 1}`;
      const side = qemuListens ? 'server=on,wait=off' : reconnect;
      return [
        ['-chardev', `socket,id=${id},path=${value(path)},${side}`],
        ['-device', `virtserialport,bus=lamplighter-serial.0,chardev=${id},name=${name}`],
      ].flat();
    }),
  ];
}

function qemuAddress(endpoint: Endpoint): string {
  return 'path' in endpoint
    ? `path=${value(endpoint.path)}`
    : `host=${value(endpoint.host)},port=${endpoint.port}`;
}

/** QEMU's option parser: a comma ends a value, two are one. */
const value = (text: string): string => text.replaceAll(',', ',,');

/**
 * A word for a POSIX shell and for Perl's Text::ParseWords, which reads Proxmox's args. No quotes: inside single ones a
 * backslash is a letter for the one and not for the other.
 */
export function shellWord(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9_@%+=:,./\u0080-\uffff-]/g, (letter) =>
    letter === '\n' ? `'\n'` : `\\${letter}`,
  );
}
