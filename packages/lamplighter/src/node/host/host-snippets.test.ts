import { execFileSync } from 'node:child_process';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { needs } from '../../needs.fixture.js';
import { nodeConfig, type NodeConfig } from '../config.js';
import type { CarrierEntry } from '../carriers/config.js';
import type { SnippetSubject } from './guest-ways.js';
import { adviceFor } from './host-snippets.js';
import { HYPERVISORS, type Hypervisor } from './hypervisors.js';
import { shellWord } from './qemu-arguments.js';

const EGD = { kind: 'egd', listen: 'unix:/run/lamplighter-host/egd.sock' };
const TRICKLE = { kind: 'trickle', role: 'connect', folder: '/run/lamplighter-host/guests' };

/** A configuration with these outlets. Kinds that other parts of the node bring are put in as they would come out. */
function subject(outlets: readonly object[], rest: Partial<SnippetSubject> = {}): SnippetSubject {
  const known = outlets.filter(
    (outlet) => 'kind' in outlet && ['egd', 'kernel'].includes(String(outlet.kind)),
  );
  const config = nodeConfig.parse({ name: 'host', state: 's', sources: [{ kind: 'os' }], outlets: known });
  const others = outlets.filter((outlet) => !known.includes(outlet)) as NodeConfig['outlets'];
  return { config: { outlets: [...config.outlets, ...others] }, guest: 'web-1', qemu: undefined, ...rest };
}

const textOf = (hypervisor: Hypervisor, given: SnippetSubject): string | undefined =>
  adviceFor(hypervisor, given).text;

/** @throws Error when there is none */
function certainTextOf(hypervisor: Hypervisor, given: SnippetSubject): string {
  const text = textOf(hypervisor, given);
  if (text === undefined) throw new Error('nothing to paste');
  return text;
}

const notesOf = (hypervisor: Hypervisor, given: SnippetSubject): string =>
  adviceFor(hypervisor, given).notes.join('\n');

describe('snippets', () => {
  it('are lines for QEMU, of this configuration’s sockets and rates', () => {
    const given = subject([{ ...EGD, bytesPerSecond: 2_048, totalBytesPerSecond: 1_048_576 }, TRICKLE]);
    expect(textOf('qemu', given)).toBe(
      [
        '-chardev socket,id=lamplighter-egd,path=/run/lamplighter-host/egd.sock,reconnect=1 \\',
        '-object rng-egd,id=lamplighter-rng,chardev=lamplighter-egd \\',
        '-device virtio-rng-pci,rng=lamplighter-rng,max-bytes=61440,period=30000 \\',
        '-device virtio-serial-pci,id=lamplighter-serial \\',
        '-chardev socket,id=lamplighter-port-1,path=/run/lamplighter-host/guests/web-1.sock,server=on,wait=off \\',
        '-device virtserialport,bus=lamplighter-serial.0,chardev=lamplighter-port-1,name=org.openmirage.entropy.1 \\',
        '-device vmgenid,guid=auto',
      ].join('\n'),
    );
  });

  it('share the budget among as many guests as there may be', () => {
    const limit = (egd: object): string | undefined =>
      /max-bytes=(\d+),period=30000/.exec(certainTextOf('qemu', subject([{ ...EGD, ...egd }])))?.[1];
    // Of half a minute: 4,096 bytes a second for each of 512 guests.
    expect(limit({})).toBe(String(30 * 4_096));
    expect(limit({ maxConnections: 1 })).toBe(String(30 * 262_144));
    expect(limit({ totalBytesPerSecond: 256, maxConnections: 10_000 })).toBe(String(30 * 16));
    const most = { bytesPerSecond: 2 ** 30, totalBytesPerSecond: 2 ** 30, maxConnections: 1 };
    expect(limit(most)).toBe(String(2 ** 31 - 1));
  });

  it('have QEMU count as the host’s version does', () => {
    const said = (major: number, minor: number): string =>
      certainTextOf('qemu', subject([EGD, { ...TRICKLE, role: 'listen' }], { qemu: { major, minor } }));
    expect(said(7, 2)).toContain('reconnect=1');
    expect(said(9, 1)).not.toContain('reconnect-ms');
    for (const text of [said(9, 2), said(11, 0)]) {
      expect(text.match(/reconnect-ms=1000/g)).toHaveLength(2);
      expect(text).not.toContain('reconnect=1');
    }
  });

  it('know EGD over TCP', () => {
    const given = subject([{ ...EGD, listen: 'tcp:127.0.0.1:8888' }]);
    expect(textOf('qemu', given)).toContain('socket,id=lamplighter-egd,host=127.0.0.1,port=8888,reconnect=1');
    expect(textOf('libvirt', given)).toContain(`<source mode='connect' host='127.0.0.1' service='8888'>`);
  });

  it('say that what is not there is not there', () => {
    expect(textOf('qemu', subject([]))).toBe('-device vmgenid,guid=auto');
    expect(notesOf('qemu', subject([]))).toMatch(/neither an egd nor a trickle outlet/);
    expect(notesOf('libvirt', subject([TRICKLE]))).toMatch(/no egd outlet/);
    expect(textOf('proxmox', subject([]))).toBeUndefined();
    for (const hypervisor of ['firecracker', 'cloud-hypervisor', 'proxmox'] as const) {
      expect(notesOf(hypervisor, subject([EGD]))).toContain('add { kind: kernel }');
      expect(notesOf(hypervisor, subject([EGD, { kind: 'kernel' }]))).not.toContain('add { kind: kernel }');
    }
    expect(notesOf('xen', subject([EGD]))).toContain('add { kind: xenstore }');
    expect(notesOf('xen', subject([{ kind: 'xenstore', path: 'data/x' }]))).toContain(
      '`xenstore-read data/x`',
    );
  });

  it('are JSON for Firecracker, as its API takes it', () => {
    const bandwidth = { size: 4_096, one_time_burst: 4_096, refill_time: 1_000 };
    expect(JSON.parse(certainTextOf('firecracker', subject([EGD])))).toEqual({
      entropy: { rate_limiter: { bandwidth } },
    });
    expect(notesOf('firecracker', subject([EGD]))).toMatch(/draws from the host’s kernel/);
  });

  it('say what Proxmox knows by itself', () => {
    expect(notesOf('proxmox', subject([EGD]))).toMatch(/only \/dev\/urandom, \/dev\/random and \/dev\/hwrng/);
  });

  it('find the socket of a guest among those that are listed', () => {
    const sockets = ['/srv/db-1.sock', '/srv/web-1.sock'];
    const given = subject([{ kind: 'trickle', role: 'listen', sockets }]);
    expect(textOf('qemu', given)).toContain('path=/srv/web-1.sock,reconnect=1');
    expect(textOf('libvirt', given)).toContain(`<source mode='connect' path='/srv/web-1.sock'>`);
  });

  const carrier = (rest: Partial<CarrierEntry>): CarrierEntry => ({
    name: 'guests',
    folderMode: '0700',
    maxLines: 256,
    ...rest,
  });
  const carried = (carriers: readonly CarrierEntry[], outlets: readonly object[] = []): SnippetSubject => {
    const { config, ...rest } = subject(outlets);
    return { ...rest, config: { outlets: config.outlets, name: 'rack-7', carriers: [...carriers] } };
  };

  it('have a port for agents without a network, on the carrier’s socket', () => {
    const shared = carrier({ listen: '/run/guests.sock' });
    const own = carrier({ connect: '/srv/web-1.sock' });
    const line = (given: SnippetSubject): string | undefined =>
      /path=(\S+) .*\n.*name=io\.lamplighter\.beacon\.1/.exec(certainTextOf('qemu', given))?.[1];
    expect(line(carried([shared]))).toBe('/run/guests.sock,reconnect=1');
    expect(line(carried([shared, own]))).toBe('/srv/web-1.sock,server=on,wait=off');
    expect(line(carried([shared, carrier({ connect: '/srv/db-1.sock' })]))).toBe(
      '/run/guests.sock,reconnect=1',
    );
    expect(certainTextOf('libvirt', carried([shared]))).toContain(
      `<target type='virtio' name='io.lamplighter.beacon.1'/>`,
    );
  });

  it('say what the agent in the guest needs, and what this node lacks', () => {
    const given = carried([carrier({ listen: '/run/guests.sock' })], [TRICKLE]);
    for (const hypervisor of ['qemu', 'libvirt', 'proxmox', 'xen'] as const) {
      const notes = notesOf(hypervisor, given);
      expect(notes).toContain(
        '{ name: host, url: "https://rack-7", device: /dev/virtio-ports/io.lamplighter.beacon.1 }',
      );
      expect(notes).toContain('add { kind: beacon }');
      expect(notes).toContain('host: {}');
      expect(notes).toContain('needs guests: {}');
    }
    const answered: SnippetSubject['config'] = {
      ...given.config,
      guests: { socket: '/run/news/resumed.sock', folderMode: '0700', qmp: [] },
      outlets: [...given.config.outlets, { kind: 'beacon', name: 'beacon' }],
    };
    const notes = notesOf('qemu', { ...given, config: answered });
    expect(notes).not.toContain('add { kind: beacon }');
    expect(notes).toContain('`lamplighter host burst GUEST`');
    expect(notesOf('qemu', subject([EGD]))).not.toContain('agent.yaml');
  });

  it.each(['', '../x', '-x', 'a/b', 'a b', 'a\n', 'x'.repeat(101)])('refuse %j as a guest', (guest) => {
    for (const hypervisor of HYPERVISORS) {
      expect(() => adviceFor(hypervisor, subject([EGD], { guest }))).toThrow(
        expect.objectContaining({ code: 'ERR_USAGE' }) as Error,
      );
    }
  });
});

/** Paths that a person could think of, and some that nobody does. */
const hardPath = fc
  .string({
    unit: fc.constantFrom(
      'a',
      'B',
      '0',
      '.',
      '-',
      ',',
      "'",
      '"',
      '&',
      '<',
      '>',
      '\\',
      '$',
      '`',
      ' ',
      'é',
      '=',
    ),
    minLength: 1,
    maxLength: 30,
  })
  .map((name) => `/run/${name}/egd.sock`);

/** What a POSIX shell makes of words. */
function shellSplit(text: string): string[] {
  const out = execFileSync('sh', ['-c', `set -f; set -- ${text}\nprintf '%s\\0' "$@"`], { encoding: 'utf8' });
  return out.split('\0').slice(0, -1);
}

describe('hard paths', () => {
  it('come through a shell as they were', () => {
    fc.assert(
      fc.property(hardPath, (path) => {
        const words = shellSplit(certainTextOf('qemu', subject([{ ...EGD, listen: `unix:${path}` }])));
        expect(words[1]).toBe(`socket,id=lamplighter-egd,path=${path.replaceAll(',', ',,')},reconnect=1`);
      }),
      { numRuns: 30, examples: [[`/run/\\'a\\\\"/egd.sock`]] },
    );
    const others = '\n \t*?[]{}()<>|;&!#~^';
    expect(shellSplit(shellWord(others))).toEqual([others]);
  });

  needs('perl')('Perl’s Text::ParseWords, which reads Proxmox’s args', () => {
    it('takes them apart as they were', () => {
      fc.assert(
        fc.property(hardPath, (path) => {
          const given = subject([{ ...EGD, listen: `unix:${path}` }]);
          const [line = ''] = certainTextOf('proxmox', given).split('\n');
          const code = 'use Text::ParseWords; local $/; print join "\\0", shellwords(<STDIN>)';
          const out = execFileSync('perl', ['-e', code], {
            input: line.replace(/^args: /, ''),
            encoding: 'utf8',
          });
          expect(out.split('\0')).toEqual(shellSplit(line.replace(/^args: /, '')));
        }),
        { numRuns: 20, examples: [[`/run/\\'a\\\\"/egd.sock`]] },
      );
    });
  });

  needs('xmllint')('libxml2', () => {
    it('reads them in libvirt’s XML as they were', () => {
      fc.assert(
        fc.property(hardPath, (path) => {
          const xml = `<d>${certainTextOf('libvirt', subject([{ ...EGD, listen: `unix:${path}` }]))}</d>`;
          const out = execFileSync('xmllint', ['--xpath', 'string(//rng//source/@path)', '-'], {
            input: xml,
            encoding: 'utf8',
          });
          expect(out.replace(/\n$/, '')).toBe(path);
        }),
        { numRuns: 20, examples: [[`/run/\\'a\\\\"/egd.sock`]] },
      );
    });
  });
});
