import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Place } from './place.fixture.js';
import { endAll, freePorts, run } from './processes.fixture.js';
import { lines, transcript } from './transcript.fixture.js';

/** Sysexits: the command was used wrongly; a configuration is wrong. */
const USAGE = 64;
const CONFIG = 78;

let place: Place;
beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());
afterEach(endAll);

const seen = (args: readonly string[]) => transcript(args, place);

describe('a command used wrongly exits 64 and names what is wrong', () => {
  const AT = ['--cert', 'c', '--key', 'k', '--ca', 'ca'];
  it.each<[string[], string]>([
    [['brighten'], "unknown command 'brighten'"],
    [['node'], "required option '--config <file>' not specified"],
    [['node', '--config', 'x', '--fast'], "unknown option '--fast'"],
    [['agent', '--once', '--fast'], "unknown option '--fast'"],
    [['up', 'now'], "too many arguments for 'up'. Expected 0 arguments but got 1"],
    [
      ['beacon', '--from', 'http://relay', ...AT],
      "option '--from <url>' argument 'http://relay' is invalid. expected a URL that begins with https://",
    ],
    [
      ['beacon', '--from', 'https://relay', ...AT, '--nonce', 'abc'],
      "option '--nonce <hex>' argument 'abc' is invalid. expected hexadecimal digits, two a byte",
    ],
    [
      ['wall', '--port', '99999'],
      "option '--port <n>' argument '99999' is invalid. expected a whole number from 0 to 65535",
    ],
  ])('lamplighter %j', async (args, message) => {
    expect(await seen(args)).toBe(
      lines(`lamplighter: ${message}`, 'hint: add --help for what there is', `exit ${USAGE}`),
    );
  });

  it('and prints the help when there is nothing to do', async () => {
    const { code, stdout, stderr } = await run([]);
    expect({ code, stdout }).toEqual({ code: USAGE, stdout: '' });
    expect(stderr).toMatch(/^Usage: lamplighter/);
    expect(await run(['--help'])).toMatchObject({ code: 0, stderr: '' });
  });

  it('and refuses names and addresses that no certificate can carry', async () => {
    const issue = ['ca', 'issue', '--ca', 'ca', '--role', 'machine', '--out', 'c', '--name'];
    expect(await seen([...issue, 'web', '--dns', 'web.example'])).toBe(
      lines(
        'lamplighter: a certificate for role machine carries no --dns or --ip [ERR_USAGE]',
        'hint: only office and relay are servers',
        `exit ${USAGE}`,
      ),
    );
  });
});

describe('a broken configuration exits 78 and names the place and the cure', () => {
  const schema = 'hint: `lamplighter config schema` prints every key and its bounds';
  it.each<[string, string, string[]]>([
    [
      'broken YAML',
      'name: here\nsources: [',
      [
        'DIR/bad.yaml:2:11: flow sequence in block collection must be sufficiently indented and end with a ]',
        'hint: the file must be valid YAML',
      ],
    ],
    [
      'an unknown key, a wrong type, a missing key',
      'state: s\nsources: [{ kind: os, colour: red }]\nadmin: { port: here }\n',
      [
        'DIR/bad.yaml: name: expected string, and it is missing; admin.port: expected number, received string; ' +
          'sources[0]: unrecognized key: "colour"',
        schema,
      ],
    ],
    [
      'an unknown kind of source',
      'name: here\nstate: s\nsources: [{ kind: dragon }]\n',
      [
        "DIR/bad.yaml: sources[0].kind: invalid discriminator value. Expected 'camera' | 'feed' | 'beacon' | 'pollen' | 'egd' | 'trickle' | 'mailbox' | 'xenstore' | 'process' | 'public' | 'whirlwind' | 'timing' | 'jitter' | 'hwrng' | 'tpm' | 'cpu' | 'os'",
        schema,
      ],
    ],
    [
      'a camera that cannot be',
      'name: here\nstate: s\nsources: [{ kind: camera, url: "gopher://me:secret@camera/" }]\n',
      [
        "DIR/bad.yaml: sources[0].url: the camera's url has a protocol that is not allowed " +
          '(a file name with a colon needs ./ before it); use http(s)://… (MJPEG), rtsp://…, /dev/videoN, the path of a video file, browser: for a phone or laptop that opens /camera, or for other streams ffmpeg+http(s)://…, srt://…, rtmp(s)://…',
        schema,
      ],
    ],
    [
      'an outlet without a listener',
      'name: here\nstate: s\ntls: { ca: a, cert: b, key: c }\nsources: [{ kind: os }]\noutlets: [{ kind: feed }]\n',
      [
        'DIR/bad.yaml: listen: missing, and the feed outlet needs it',
        'hint: add listen: { host: …, port: … }, or carriers',
      ],
    ],
    [
      'aliases that would never end',
      `a: &a [x]\n${'bcdef'
        .split('')
        .map((key, i) => `${key}: &${key} [${Array(9).fill(`*${'abcde'[i]}`).join()}]`)
        .join('\n')}\n`,
      ['DIR/bad.yaml: its aliases (*name) cannot be followed', 'hint: write out what they stand for'],
    ],
  ])('%s', async (_what, text, [message = '', hint = '']) => {
    const file = place.write('bad.yaml', text);
    const said = lines(`lamplighter: ${message} [ERR_CONFIG]`, hint, `exit ${CONFIG}`);
    expect(await Promise.all([seen(['node', '--config', file]), seen(['config', 'check', file])])).toEqual([
      said,
      said,
    ]);
  });

  it('or says that it cannot be read', async () => {
    expect(await seen(['node', '--config', 'none.yaml'])).toBe(
      lines(
        'lamplighter: cannot read the configuration none.yaml (ENOENT) [ERR_CONFIG_FILE]',
        'hint: name a readable file',
        `exit ${CONFIG}`,
      ),
    );
    expect(await seen(['config', 'check', place.folder])).toContain('(EISDIR) [ERR_CONFIG_FILE]');
  });

  it('also an agent’s', async () => {
    const relay = { name: 'a', url: 'https://relay' };
    place.write('agent.yaml', { tls: place.tls('machine'), relays: [relay, relay], requires: 1 });
    expect(await seen(['agent', '--once', '--config', 'agent.yaml'])).toBe(
      lines(
        `lamplighter: agent.yaml: the file: unrecognized key: "requires"; relays[1].name: 'a' is used twice [ERR_CONFIG]`,
        'hint: `lamplighter config schema --agent` prints every key and its bounds',
        `exit ${CONFIG}`,
      ),
    );
  });
});

describe('a certificate or key that cannot be used exits 78 and names the file and the cure', () => {
  /** A folder of certificates that a test may spoil. */
  function spoilt(name: string): (file: string) => string {
    mkdirSync(place.path(name));
    for (const file of ['ca.pem', 'relay.pem', 'relay.key', 'office.key']) {
      copyFileSync(place.path('certificates', file), place.path(name, file));
    }
    return (file) => place.path(name, file);
  }

  async function saidOf(name: string): Promise<string> {
    const sources = [{ kind: 'os' }];
    const file = place.write(`${name}.yaml`, {
      name,
      state: 's',
      tls: place.tls('relay', name),
      admin: { port: 0 },
      sources,
    });
    const [said, checked] = await Promise.all([
      seen(['node', '--config', file]),
      seen(['config', 'check', file]),
    ]);
    expect(checked).toBe(said);
    return said;
  }

  it('a key that others may read', async () => {
    chmodSync(spoilt('open')('relay.key'), 0o644);
    expect(await saidOf('open')).toBe(
      lines(
        'lamplighter: the private key DIR/open/relay.key may be read or changed by others (mode 0644) [ERR_KEY_FILE]',
        'hint: chmod 600 DIR/open/relay.key',
        `exit ${CONFIG}`,
      ),
    );
  });

  it('a certificate that is not there', async () => {
    mkdirSync(place.path('none'));
    expect(await saidOf('none')).toBe(
      lines(
        'lamplighter: the CA certificate DIR/none/ca.pem cannot be read (ENOENT) [ERR_CERTIFICATE_FILE]',
        'hint: check the path and who may read it, or make it with `lamplighter ca issue`',
        `exit ${CONFIG}`,
      ),
    );
  });

  it('a key of another certificate, and one that is none', async () => {
    const file = spoilt('other');
    copyFileSync(file('office.key'), file('relay.key'));
    expect(await saidOf('other')).toBe(
      lines(
        'lamplighter: DIR/other/relay.key is not the key of the certificate DIR/other/relay.pem [ERR_KEY_FILE]',
        'hint: use the .key and .pem that were written together',
        `exit ${CONFIG}`,
      ),
    );
    writeFileSync(file('relay.key'), 'not a key, and nobody else may see it');
    expect(await saidOf('other')).toMatch(/^lamplighter: .* holds no usable private key \[ERR_KEY_FILE\]$/m);
    expect(await saidOf('other')).not.toContain('nobody else');
  });

  it('a certificate of another CA', async () => {
    const file = spoilt('foreign');
    expect((await run(['ca', 'init', place.path('ca-2')])).code).toBe(0);
    copyFileSync(place.path('ca-2', 'ca.pem'), file('ca.pem'));
    expect(await saidOf('foreign')).toBe(
      lines(
        'lamplighter: DIR/foreign/relay.pem was not issued by the CA in DIR/foreign/ca.pem [ERR_CERTIFICATE_FILE]',
        'hint: use certificate and ca.pem from one CA, and put every intermediate after the certificate',
        `exit ${CONFIG}`,
      ),
    );
  });
});

describe('a place that a node cannot have', () => {
  it('a port in use, for the admin listener or the outlets', async () => {
    const taken = net.createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as net.AddressInfo;
    const free = await freePorts('other');
    const said = lines(
      'lamplighter: port PORT on 127.0.0.1 is in use [ERR_PORT_IN_USE]',
      'hint: stop what listens there (`ss -ltnp sport = :PORT` names it) or configure another port',
      'exit 1',
    );
    const common = { name: 'relay', sources: [{ kind: 'os' }], outlets: [{ kind: 'beacon' }] };
    const admin = place.writeNode({ ...common, admin: port, listen: free.other });
    expect(await seen(['node', '--config', admin])).toBe(said);
    const listen = place.writeNode({ ...common, admin: free.other, listen: port });
    expect(await seen(['node', '--config', listen])).toBe(said);
    expect(await seen(['wall', '--port', String(port)])).toMatch(
      / port PORT .* \[ERR_PORT_IN_USE\]\nhint: .*\nexit 1$/,
    );
    await new Promise((resolve) => taken.close(resolve));
  });

  it('a state folder that is a file, or holds no number', async () => {
    const { admin } = await freePorts('admin');
    const file = place.write('stateless.yaml', {
      name: 'here',
      state: 'stateless.yaml',
      admin: { port: admin },
      sources: [{ kind: 'os' }],
    });
    expect(await seen(['node', '--config', file])).toBe(
      lines(
        'lamplighter: cannot make the state folder DIR/stateless.yaml [ERR_STATE_DIRECTORY]',
        'hint: give the node a folder it may write to (state: …)',
        'exit 1',
      ),
    );
    mkdirSync(place.path('state', 'relay'), { recursive: true });
    writeFileSync(place.path('state', 'relay', 'start-number'), 'seven\n');
    const relay = place.writeNode({ name: 'relay', admin, sources: [{ kind: 'os' }] });
    expect(await seen(['node', '--config', relay])).toMatch(
      /^lamplighter: DIR\/state\/relay\/start-number does not hold a number \[ERR_STATE_FILE\]\nhint: /,
    );
    writeFileSync(place.path('state', 'relay', 'start-number'), '7\n');
  });
});
