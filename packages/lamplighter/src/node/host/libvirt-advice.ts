import type { Endpoint } from '../../local/environment.js';
import type { GuestPort, GuestWays } from './guest-ways.js';
import { virtioRngLimit } from './qemu-arguments.js';
import { type Advice, portNotes } from './snippet.js';

/**
 * Domain XML of libvirt. Source: formatdomain, and the RNG schemas that come with libvirt, which the tests ask.
 *
 * `<genid/>` is a device of ACPI: without `<acpi/>` libvirt puts it in and the guest never sees it.
 */
export function libvirtAdvice(ways: GuestWays): Advice {
  const devices = [...(ways.egd === undefined ? [] : rng(ways.egd)), ...ways.ports.flatMap(channel)];
  const generation = ['<!-- in <domain> -->', '<genid/>', '<!-- in <features> -->', '<acpi/>'];
  const own = devices.length === 0 ? [] : ['<!-- in <devices> -->', ...devices];
  return {
    where: 'domain XML',
    text: [...generation, ...own].join('\n'),
    notes: [...notes(ways), ...portNotes(ways), ...mailboxNotes(ways)],
  };
}

function rng(egd: NonNullable<GuestWays['egd']>): string[] {
  const { endpoint } = egd;
  const { maxBytes, periodMs } = virtioRngLimit(egd);
  return [
    `<rng model='virtio'>`,
    `  <rate bytes='${maxBytes}' period='${periodMs}'/>`,
    `  <backend model='egd' type='${'path' in endpoint ? 'unix' : 'tcp'}'>`,
    `    <source mode='connect' ${address(endpoint)}>`,
    `      <reconnect enabled='yes' timeout='1'/>`,
    '    </source>',
    ...('path' in endpoint ? [] : [`    <protocol type='raw'/>`]),
    '  </backend>',
    '</rng>',
  ];
}

function channel({ name, path, qemuListens }: GuestPort): string[] {
  const source = `mode='${qemuListens ? 'bind' : 'connect'}' path='${attribute(path)}'`;
  return [
    `<channel type='unix'>`,
    ...(qemuListens
      ? [`  <source ${source}/>`]
      : [`  <source ${source}>`, `    <reconnect enabled='yes' timeout='1'/>`, '  </source>']),
    `  <target type='virtio' name='${attribute(name)}'/>`,
    '</channel>',
  ];
}

function notes({ egd, ports }: GuestWays): string[] {
  return [
    ...(egd === undefined
      ? ['this configuration has no egd outlet, so there is no <rng> for it']
      : [
          'guests start while the node is down or not yet seeded; what they ask for meanwhile they get up to half a minute later',
          'AppArmor: libvirt’s profiles leave the socket of an <rng> out; deploy/libvirt/apparmor-libvirt-qemu lets it in',
        ]),
    ...(ports.some(({ qemuListens }) => qemuListens)
      ? ['the node connects to the sockets that libvirt makes, for which it runs in QEMU’s group']
      : []),
    '<genid/> gets a new number when a domain is restored from a snapshot, and its guest learns of it (Linux 5.18 and later)',
  ];
}

function mailboxNotes({ mailboxes }: GuestWays): string[] {
  if (mailboxes.length === 0) return [];
  return [`share one of ${mailboxes.join(', ')} with its guest as <filesystem> and no two guests the same`];
}

const address = (endpoint: Endpoint): string =>
  'path' in endpoint
    ? `path='${attribute(endpoint.path)}'`
    : `host='${attribute(endpoint.host)}' service='${endpoint.port}'`;

/** Whatever may not stand in an attribute of XML as it is; line breaks would become blanks. */
function attribute(text: string): string {
  return text.replaceAll(/[&<>'"\t\n\r]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
