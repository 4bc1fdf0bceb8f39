import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import { outletEntry } from '../packages/lamplighter/dist/node/outlet-kinds.js';
import { sourceEntry } from '../packages/lamplighter/dist/node/source-kinds.js';
import { testNode } from '../packages/lamplighter/dist/outlets/context.fixture.js';
import { xenstoreOutlet } from '../packages/lamplighter/dist/outlets/xenstore/xenstore.js';
import { xenstoreSource } from '../packages/lamplighter/dist/sources/xenstore.js';
import { XenstoreProxy } from '../packages/lamplighter/dist/wire/xenstore-proxy.fixture.js';
import { XENSTORE_TYPE } from '../packages/lamplighter/dist/wire/xenstore.js';
import { Xenstored, needsXenstored } from '../packages/lamplighter/dist/wire/xenstored.fixture.js';
import { Place } from './place.fixture.js';
import { Command, endAll, eventually, freePorts, partOf, untilStatus } from './processes.fixture.js';

const NODE = 'data/lamplighter/entropy';
const DOMAINS = Array.from({ length: 50 }, (_, index) => 100 + index);
const VALUE = /^[0-9a-f]{64}$/;
const never = new AbortController().signal;
const isRegistered =
  outletEntry.safeParse({ kind: 'xenstore' }).success && sourceEntry.safeParse({ kind: 'xenstore' }).success;

let xenstored: Xenstored;
let proxy: XenstoreProxy;
const ends: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  xenstored = await Xenstored.start();
  proxy = await XenstoreProxy.start(xenstored.socket);
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await proxy.stop();
  await xenstored.stop();
});

const nodeOf = (domain: number): string => `/local/domain/${domain}/${NODE}`;

/** Every other guest is made and ended in the way that leaves most behind. */
const kindOf = (domain: number) => ({ hostOwnsData: domain % 2 === 0, keepsFolder: domain % 2 === 0 });

/** The outlet at work in this process, through the proxy. */
async function trickle(options: { periodMs?: number; leastMs?: number } = {}) {
  const node = testNode();
  const outlet = xenstoreOutlet({
    name: 'xenstore',
    environment: systemEnvironment(),
    socket: proxy.socket,
    leastMs: 1,
    ...options,
  });
  node.seed();
  await outlet.start(node.context, never);
  ends.push(() => outlet.stop(1_000));
  return outlet;
}

/** What a guest finds in its own node, as soon as there is something. */
const given = (domain: number): Promise<string> =>
  eventually(`domain ${domain} has bytes`, async () => {
    const text = await xenstored.reads(domain, NODE);
    return VALUE.test(text) ? text : undefined;
  });

/** Every value that was written, and for whom, with the proof that nobody else could read it when it was. */
function written(): readonly { readonly domain: number; readonly value: string }[] {
  const open = new Map<number, string>();
  const values: { domain: number; value: string }[] = [];
  for (const { type, transactionId, text } of proxy.asked()) {
    const [node = '', ...rest] = text.split('\0');
    if (type === XENSTORE_TYPE.setPermissions) open.set(transactionId, `${node} ${rest.join(' ').trim()}`);
    if (type !== XENSTORE_TYPE.write || rest[0] === '') continue;
    const domain = Number(/^\/local\/domain\/(\d+)\//.exec(node)?.[1]);
    expect(transactionId).not.toBe(0);
    expect(open.get(transactionId)).toBe(`${node} n0 b${domain}`);
    values.push({ domain, value: rest.join('\0') });
  }
  return values;
}

needsXenstored('Xen’s own xenstored and the xenstore outlet', () => {
  it('fifty domains appear and vanish while the trickle runs: each has bytes of its own, no other can read them', async () => {
    const outlet = await trickle({ periodMs: 100 });
    const read = new Map<string, number>();
    const note = (domain: number, text: string): void => {
      // Bytes that one guest has read are never read by another, nor by a later guest under the same number.
      expect(read.get(text) ?? domain).toBe(domain);
      read.set(text, domain);
    };
    for (const domain of DOMAINS) await xenstored.create(domain, kindOf(domain));
    for (const domain of DOMAINS) note(domain, await given(domain));
    for (const domain of DOMAINS) {
      const neighbour = domain === 149 ? 100 : domain + 1;
      expect(await xenstored.reads(neighbour, nodeOf(domain))).toBe('EACCES');
    }
    for (let round = 0; round < 3; round += 1) {
      const leaving = DOMAINS.filter((_domain, index) => index % 3 === round);
      for (const domain of leaving) await xenstored.destroy(domain, kindOf(domain));
      await eventually('they are gone', () => {
        const texts = leaving.map((domain) =>
          xenstored.client('ls', '-f', '/local').includes(`${nodeOf(domain)} `),
        );
        return texts.includes(true) ? undefined : true;
      });
      const before = new Set(written().map(({ value }) => value));
      for (const domain of leaving) await xenstored.create(domain, kindOf(domain));
      for (const domain of leaving) {
        const text = await given(domain);
        expect(before.has(text)).toBe(false);
        note(domain, text);
      }
    }
    for (const domain of DOMAINS) await xenstored.destroy(domain);
    await eventually('nobody is left', () => (outlet.status().details['domains'] === 0 ? true : undefined));
    expect(xenstored.client('ls', '/local/domain')).toBe('');
    const values = written();
    expect(values.length).toBeGreaterThan(DOMAINS.length * 2);
    expect(new Set(values.map(({ value }) => value)).size).toBe(values.length);
    expect(values.every(({ value }) => VALUE.test(value))).toBe(true);
    expect(outlet.status()).toMatchObject({ state: 'ok', details: { refusals: 0, reconnects: 0 } });
  });

  it('without the removal the next domain of that number would read it: the experiment can fail', async () => {
    const outlet = await trickle();
    await xenstored.create(7, { hostOwnsData: true });
    // Given when all else has been written: xenstored 4.17 keeps later domains from older nodes, if anything was written between.
    const first = await given(7);
    outlet.resume('7');
    const old = await eventually('it has other bytes', async () => {
      const text = await given(7);
      return text !== first && text;
    });
    await outlet.stop(0);
    // Stopped at once: nothing is taken back, as when the node is killed.
    await xenstored.destroy(7, { keepsFolder: true });
    await xenstored.introduce(7);
    expect(await xenstored.reads(7, NODE)).toBe(old);
    await trickle();
    await eventually('the next outlet has replaced it', async () => {
      const text = await xenstored.reads(7, NODE);
      return VALUE.test(text) && text !== old ? true : undefined;
    });
  });

  it('is heard in a guest through a character device, overwritten there, and asked again', async () => {
    await trickle();
    await xenstored.create(7);
    await xenstored.create(8);
    const heard: string[] = [];
    const source = xenstoreSource({ address: await xenstored.device(7), periodMs: 200 }, systemEnvironment());
    ends.push(() => source.stop());
    await source.start({ hear: (bytes) => heard.push(Buffer.from(bytes).toString('hex')) }, never);
    await eventually('five answers', () => (heard.length >= 5 ? true : undefined));
    expect(new Set(heard).size).toBe(heard.length);
    const mine = new Set(written().flatMap(({ domain, value }) => (domain === 7 ? [value] : [])));
    expect(heard.every((value) => mine.has(value))).toBe(true);
    await source.stop();
    // As domain 0: the ring of 7 is the device's.
    await eventually('nothing is left to read', () => xenstored.client('read', nodeOf(7)) === '');
    expect(await given(8)).toMatch(VALUE);
  });

  it('a daemon that dies again and again while guests come and go is served whenever it lives', async () => {
    const outlet = await trickle({ periodMs: 50 });
    const seen = new Set<string>();
    for (let life = 0; life < 3; life += 1) {
      for (const domain of [7, 8, 9]) await xenstored.create(domain);
      for (const domain of [7, 8, 9]) seen.add(await given(domain));
      await xenstored.kill();
      await eventually('the outlet says so', () => (outlet.status().state === 'failed' ? true : undefined));
      await xenstored.begin();
    }
    expect(seen.size).toBe(9);
  });
});

needsXenstored('a node on a Xen host and a node in its guest', () => {
  let place: Place;
  beforeAll(async () => {
    place = await Place.make();
  });
  afterEach(endAll);
  afterAll(() => place.remove());

  it.runIf(isRegistered)('the host seeds the guest’s pools; both say what it is worth', async () => {
    const ports = await freePorts('host', 'guest');
    const host = place.writeNode({
      name: 'relay',
      admin: ports.host,
      sources: [{ kind: 'os' }, { kind: 'timing' }],
      outlets: [{ kind: 'xenstore', socket: proxy.socket, periodMs: 1_000 }],
    });
    const hostNode = new Command(['node', '--config', host]);
    await xenstored.create(7);
    await untilStatus(ports.host, 'the outlet serves', (status) => {
      return Number(partOf(status, 'outlets', 'xenstore').details['writes']) > 0;
    });
    const guest = place.writeNode({
      name: 'guest',
      as: 'machine',
      admin: ports.guest,
      sources: [
        { kind: 'os' },
        { kind: 'timing' },
        { kind: 'xenstore', address: await xenstored.device(7), periodMs: 1_000 },
      ],
    });
    const guestNode = new Command(['node', '--config', guest]);
    const status = await untilStatus(ports.guest, 'the guest hears its host', (status) => {
      return partOf(status, 'sources', 'xenstore').bytes >= 96;
    });
    expect(partOf(status, 'sources', 'xenstore')).toMatchObject({ state: 'ok', basis: { physical: false } });
    await guestNode.stop();
    await hostNode.stop();
    expect(xenstored.client('ls', '/local/domain/7')).not.toContain('entropy');
    // Whatever either node said: not one value that went through the store is in it.
    const said = [hostNode, guestNode].map(({ stdout, stderr }) => stdout + stderr).join('');
    for (const { value } of written()) expect(said).not.toContain(value);
  });
});
