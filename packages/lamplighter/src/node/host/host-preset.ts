import { LamplighterError } from '@lamplighter/core';
import { parse } from 'yaml';
import { validate } from '../../config/file.js';
import { type NodeConfig, nodeConfig } from '../config.js';
import type { HostMachine } from './host-machine.js';

/** Where the preset has its socket, the sockets of guests, and its state: as deploy/libvirt/ and deploy/systemd/ make them. */
export const HOST_PLACES = {
  socket: '/run/lamplighter-host/egd.sock',
  guests: '/run/lamplighter-host/guests',
  carrier: '/run/lamplighter-host/beacons.sock',
  state: '/var/lib/lamplighter-node',
} as const;

/** What a person may add to the preset. */
export interface HostPresetOptions {
  /** Relays this host asks for beacons. */
  readonly relays?: readonly URL[];
}

/**
 * The preset of a VM host, as a commented configuration of a node. `lamplighter host init` writes it; `lamplighter host` without
 * a configuration runs the very same text.
 *
 * Guests get entropy from the EGD socket alone; the other ways in are there as comments, because each needs something of the
 * guest too.
 * @param machine - decides what is proposed and what is only mentioned
 * @returns YAML that {@link parseHostPreset} accepts, whatever the machine
 */
export function hostPreset(machine: HostMachine, { relays = [] }: HostPresetOptions = {}): string {
  return [
    '# A VM host’s configuration, made by `lamplighter host init` for what this machine has.',
    '# `lamplighter host --config FILE` runs it, `lamplighter host snippets --config FILE` prints what guests need,',
    '# `lamplighter config check FILE` checks it, `lamplighter config schema` has every key and its bounds.',
    `name: ${JSON.stringify(machine.name)}`,
    `state: ${HOST_PLACES.state}`,
    'admin: { host: 127.0.0.1, port: 9600 }   # /healthz /readyz /metrics /v1/status; no secret byte',
    '# guests: {}   # a socket in /run/lamplighter-host/news, for `lamplighter host burst GUEST`: a guest was restored',
    '',
    ...tls(machine, relays),
    'sources:',
    '  - { kind: os }          # the kernel, and this process’s own OpenSSL',
    '  - { kind: cpu }         # RDSEED, else RDRAND; needs the native addon',
    '  - { kind: timing }',
    '  - { kind: whirlwind }',
    ...hwrng(machine),
    ...beacons(relays),
    '',
    'outlets:',
    ...egd(machine),
    ...kernel(),
    ...trickle(),
    ...mailbox(),
    ...xenstore(machine),
    '',
    ...carriers(),
    '',
  ].join('\n');
}

/**
 * Reads a preset back.
 * @throws LamplighterError ERR_CONFIG for what is no configuration of a node
 */
export function parseHostPreset(text: string): NodeConfig {
  const value: unknown = parse(text);
  if (typeof value === 'object' && value !== null && 'tls' in value) {
    throw new LamplighterError(
      'ERR_CONFIG',
      'relays need a certificate, and its files need a configuration',
      {
        hint: 'write one with `lamplighter host init --relay URL --out FILE`',
      },
    );
  }
  return validate(nodeConfig, value, 'the preset');
}

function tls({ name }: HostMachine, relays: readonly URL[]): string[] {
  const files = [
    `tls:   # \`lamplighter ca issue --role machine --name ${name}\` where the CA is; the files belong into the state folder`,
    `  ca: ${HOST_PLACES.state}/ca.pem`,
    `  cert: ${HOST_PLACES.state}/${name}.pem`,
    `  key: ${HOST_PLACES.state}/${name}.key   # 0600`,
  ];
  return relays.length > 0
    ? [...files, '']
    : [
        '# To ask relays for beacons, which every guest then profits from: the lines of tls, and one source for each relay.',
        ...commented(files),
        '',
      ];
}

function hwrng({ hwrng: behind }: HostMachine): string[] {
  return behind === undefined
    ? ['  # - { kind: hwrng }     # this machine has nothing behind /dev/hwrng']
    : [`  - { kind: hwrng }       # ${behind}; deploy/systemd/drop-ins/hwrng.conf lets the service read it`];
}

function beacons(relays: readonly URL[]): string[] {
  if (relays.length === 0)
    return ['  # - { kind: beacon, name: relay-1, url: "https://relay-1.example:9443" }'];
  return relays.map(
    (url, i) => `  - { kind: beacon, name: relay-${i + 1}, url: ${JSON.stringify(withoutSlash(url))} }`,
  );
}

function egd({ qemuGroup, proxmox }: HostMachine): string[] {
  const who = proxmox
    ? '# Proxmox starts guests as root, so nobody else has to be let in.'
    : qemuGroup === undefined
      ? '# This machine has no group that libvirt runs QEMU as; `chgrp` the folder if yours is another.'
      : `# The folder is made with group ${qemuGroup.name}: ${qemuGroup.because}.`;
  return [
    '  # virtio-rng: QEMU asks here for its guests. It listens at once, so guests can start before this node is seeded.',
    `  ${who}`,
    '  - kind: egd',
    `    listen: unix:${HOST_PLACES.socket}`,
    `    folderMode: "${proxmox || qemuGroup === undefined ? '0700' : '0750'}"`,
    '    maxConnections: 512            # one a guest',
    '    bytesPerSecond: 262144         # for one guest; the snippets limit each to what all can have together',
    '    totalBytesPerSecond: 2097152',
    '    unaskedBytes: 64               # answers what QEMU asked while this node was restarting; it never asks again',
    '    # uids: [64055]                # who may ask, by number; needs the native addon',
  ];
}

function kernel(): string[] {
  return [
    '  # This machine’s kernel: for whatever feeds guests from /dev/urandom (Firecracker, Cloud Hypervisor, Proxmox’s rng0).',
    '  - { kind: kernel, periodMs: 300000, creditBits: 0 }',
  ];
}

function trickle(): string[] {
  return [
    '  # A burst when a guest asks and when it is restored, then 1,024 bytes a minute, over a virtio-serial port of each guest.',
    ...commented(
      [
        '- kind: trickle',
        '  role: connect',
        `  folder: ${HOST_PLACES.guests}   # GUEST.sock of each, which QEMU makes`,
      ],
      '  ',
    ),
  ];
}

function mailbox(): string[] {
  return [
    '  # Files in a folder shared with one guest (virtiofs, 9p).',
    '  # - { kind: mailbox, folders: [/srv/guests/web-1/mailbox] }',
  ];
}

function xenstore({ xen }: HostMachine): string[] {
  return xen
    ? [
        '  # Xen: a few fresh bytes for every domain in xenstore, which domain 0 can read too.',
        '  - { kind: xenstore }',
      ]
    : ['  # - { kind: xenstore }    # this machine is not Xen’s domain 0'];
}

function carriers(): string[] {
  return [
    '# Guests without a network: their agents ask for beacons over a virtio-serial port. Needs a relay’s certificate in tls,',
    '# and { kind: beacon } among the outlets.',
    '# carriers:',
    `#   - { name: guests, listen: ${HOST_PLACES.carrier}, folderMode: "0750" }`,
  ];
}

const commented = (lines: readonly string[], indent = ''): string[] =>
  lines.map((line) => `${indent}# ${line}`);

const withoutSlash = (url: URL): string => url.href.replace(/\/$/, '');
