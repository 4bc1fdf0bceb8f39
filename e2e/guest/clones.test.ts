import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CloneLab, type Copy, GENERATIONS, type Restore, type Snapshot } from './clone-lab.fixture.js';
import type { Drawn } from './clone-witness.fixture.js';
import { endGuests } from './guest.fixture.js';
import { needsGuest } from './kernel.fixture.js';

/*
 * The clone experiment: a guest without RDRAND and RDSEED is saved while it runs, and restored twice. Without the hedge both
 * copies give the same; so the experiment can fail.
 */

/** One pair of each takes three minutes: in the full run alone. */
const isFull = (process.env['LAMPLIGHTER_FULL'] ?? '') !== '';
const PAIRS = isFull ? 20 : 1;
/** Of one pair: two or three guests to be restored on a busy machine, one after the other. */
const PAIR_MS = 300_000;
const SAVED_MS = 420_000;

const SAME = { generation: [GENERATIONS.same, GENERATIONS.same], forks: 0 };
const NEW = { generation: GENERATIONS.new, forks: 1 };
const pairs = Array.from({ length: PAIRS }, (_, pair) => ({ pair: pair + 1 }));

needsGuest()('two restores of one snapshot', () => {
  let lab: CloneLab;

  beforeAll(async () => {
    lab = await CloneLab.open();
  }, SAVED_MS);

  afterEach(endGuests);

  afterAll(async () => {
    await endGuests();
    await lab.close();
  });

  describe('without the hedge', () => {
    let snapshot: Snapshot;

    beforeAll(async () => {
      snapshot = await lab.plain();
    }, SAVED_MS);

    const seen = async (restore: Restore): Promise<{ drawn: Drawn; records: Buffer[] }> => {
      const copy = await snapshot.restore(restore);
      if (restore.generation !== GENERATIONS.same) await copy.untilForked();
      const drawn = await copy.ask('plain');
      const records = await copy.untilSentOnOld();
      await copy.end();
      return { drawn, records };
    };

    it.each(pairs)(
      'the same generation: all the same (pair $pair)',
      async () => {
        const [one, other] = [
          await seen({ generation: GENERATIONS.same }),
          await seen({ generation: GENERATIONS.same }),
        ];
        expect(one.drawn.openssl).toEqual(other.drawn.openssl);
        expect(common(one.drawn.urandom, other.drawn.urandom)).not.toEqual([]);
        // The same text under the same key and record number: what must never be sent twice.
        expect(one.records).toHaveLength(1);
        expect(one.records).toEqual(other.records);
      },
      PAIR_MS,
    );

    it.each(pairs)(
      'another generation: the kernel parts, OpenSSL and TLS repeat (pair $pair)',
      async () => {
        const [first, second] = GENERATIONS.new;
        const [one, other] = [await seen({ generation: first }), await seen({ generation: second })];
        expect(one.drawn.openssl).toEqual(other.drawn.openssl);
        expect(common(one.drawn.urandom, other.drawn.urandom)).toEqual([]);
        expect(one.records).toEqual(other.records);
      },
      PAIR_MS,
    );
  });

  describe('with the hedge', () => {
    let snapshot: Snapshot;
    /** All that any copy has given, of any pair: nothing comes twice. */
    const given = new Set<string>();

    beforeAll(async () => {
      snapshot = await lab.hedged();
    }, SAVED_MS);

    const cases = [
      {
        title: 'the same generation: the agent sees it by the hardware clock',
        ...SAME,
        sign: 'hardware-clock',
      },
      { title: 'another generation: the agent sees it by its kernel', ...NEW, sign: 'kernel-fork' },
      { title: 'the same generation, with a burst of the host', ...SAME, sign: 'host' },
      { title: 'another generation, with a burst of the host', ...NEW, sign: 'host' },
    ].flatMap((one) => pairs.map(({ pair }) => ({ ...one, pair })));

    it.each(cases)(
      '$title (pair $pair)',
      async ({ generation, forks, sign }) => {
        const drawnAtOnce: Drawn[] = [];
        const isTold = sign === 'host';
        for (const guid of generation) {
          // Bytes of the host come by its line alone, or also by virtio-rng.
          const copy = await snapshot.restore({ generation: guid, hostRandom: isTold && forks > 0 });
          const atOnce = await copy.ask('library');
          drawnAtOnce.push(atOnce);
          if (isTold) await lab.tellHost(copy);
          const resume = await copy.untilResumed(sign);
          expect(resume).toEqual({ sign, os: 'fresh', undone: isTold && forks > 0 ? {} : NO_HWRNG });
          expect(await copy.forks()).toBe(forks);
          for (const bytes of [...streamsOf(atOnce), ...(await afterwards(copy))]) {
            expect(given.has(bytes)).toBe(false);
            given.add(bytes);
          }
          // What was open is gone, and not a byte was sent on it.
          expect(copy.oldConnections()).toEqual([{ payloads: [], ended: true }]);
          await copy.end();
        }
        // So the copies were copies: the OpenSSL of a process repeats until somebody tells it.
        expect(drawnAtOnce[0]?.openssl).toEqual(drawnAtOnce[1]?.openssl);
      },
      PAIR_MS,
    );

    /** What one copy gives after its agent has done the steps, each of which must never come twice. */
    const afterwards = async (copy: Copy): Promise<string[]> => {
      const after = await copy.ask('library');
      // Another process than the agent: its OpenSSL waits to be told.
      const told = await copy.ask('library', 'USR2');
      const all = [
        ...streamsOf(after),
        ...after.urandom,
        ...streamsOf(told),
        ...told.urandom,
        ...told.openssl,
      ];
      return [...all, await copy.clientRandom()];
    };
  });
});

const streamsOf = ({ library, egd }: Drawn): string[] => [...library, egd];

const NO_HWRNG = { hostEntropy: '/dev/hwrng gave nothing within 500 ms, or may not be read' };

const common = (one: readonly string[], other: readonly string[]): string[] => {
  const seen = new Set(one);
  return other.filter((bytes) => seen.has(bytes));
};
