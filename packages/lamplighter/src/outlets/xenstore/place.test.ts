import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { XenstoreConnection } from '../../wire/xenstore-connection.js';
import { XENSTORE_TYPE } from '../../wire/xenstore.js';
import { Xenstored, needsXenstored } from '../../wire/xenstored.fixture.js';
import { isIntroduced, listGuests } from './domain-list.js';
import { placeEntropy, removeEntropy } from './place.js';

const PATH = 'data/lamplighter/entropy';
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const end of ends.splice(0).reverse()) await end();
});

async function onHost() {
  const xenstored = await Xenstored.start();
  ends.push(() => xenstored.stop());
  const connection = new XenstoreConnection(net.connect(xenstored.socket), {
    environment: systemEnvironment(),
    deadlineMs: 5_000,
    signal: new AbortController().signal,
    shown: xenstored.socket,
    onEvent: () => undefined,
  });
  ends.push(() => connection.close());
  /** Lets the guest write in its node right before a transaction of ours ends, so many times. */
  const interfere = (times: number): void => {
    const request = connection.request.bind(connection);
    let left = times;
    vi.spyOn(connection, 'request').mockImplementation(async (type, payload, options) => {
      if (type === XENSTORE_TYPE.transactionEnd && left > 0) {
        left -= 1;
        await xenstored.asGuest(7, XENSTORE_TYPE.write, `${PATH}\0mine`);
      }
      return request(type, payload, options);
    });
  };
  return { xenstored, connection, interfere };
}

needsXenstored('placing bytes', () => {
  it('is done again when the guest writes in the same moment, and then is whole', async () => {
    const { xenstored, connection, interfere } = await onHost();
    await xenstored.create(7);
    interfere(3);
    const bytes = randomBytes(32);
    expect(await placeEntropy(connection, { domain: 7, path: PATH, bytes })).toEqual({
      placed: true,
      conflicts: 3,
    });
    expect(await xenstored.reads(7, PATH)).toBe(bytes.toString('hex'));
  });

  it('is given up when the guest never ceases, with nothing of it to be seen', async () => {
    const { xenstored, connection, interfere } = await onHost();
    await xenstored.create(7);
    interfere(1_000);
    const placing = placeEntropy(connection, { domain: 7, path: PATH, bytes: randomBytes(32) });
    await expect(placing).rejects.toMatchObject({ code: 'ERR_XENSTORE_REFUSED', errno: 'EAGAIN' });
    expect(await xenstored.reads(7, PATH)).toBe('mine');
  });

  it('does not happen for a domain that is gone, and leaves no folder', async () => {
    const { xenstored, connection } = await onHost();
    await xenstored.create(7);
    await xenstored.destroy(7);
    const placing = placeEntropy(connection, { domain: 7, path: PATH, bytes: randomBytes(32) });
    expect(await placing).toEqual({ placed: false, conflicts: 0 });
    await removeEntropy(connection, 7, PATH);
    expect(await listGuests(connection)).toEqual([]);
  });

  it('leaves no transaction open: hundreds may fail', async () => {
    const { xenstored, connection } = await onHost();
    xenstored.client('write', '/local/domain/7', '');
    for (let time = 0; time < 300; time += 1) {
      const placing = placeEntropy(connection, { domain: 7, path: 'bad//path', bytes: randomBytes(32) });
      await expect(placing).rejects.toMatchObject({ errno: 'EINVAL' });
    }
    expect(await placeEntropy(connection, { domain: 7, path: PATH, bytes: randomBytes(32) })).toMatchObject({
      placed: true,
    });
  });

  it('knows who is there', async () => {
    const { xenstored, connection } = await onHost();
    expect(await listGuests(connection)).toEqual([]);
    await xenstored.create(7);
    xenstored.client('write', '/local/domain/9/name', 'x');
    expect(new Set(await listGuests(connection))).toEqual(new Set([7, 9]));
    expect([await isIntroduced(connection, 7), await isIntroduced(connection, 9)]).toEqual([true, false]);
  });
});
