import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CloneLab, type Copy, GENERATIONS, type Snapshot } from './clone-lab.fixture.js';
import type { Drawn } from './clone-witness.fixture.js';
import { endGuests } from './guest.fixture.js';
import { isFull } from '../../packages/lamplighter/dist/needs.fixture.js';
import { needsGuest } from './kernel.fixture.js';

/*
 * The clone experiment: a guest without RDRAND and RDSEED is saved while it runs, and restored twice. Without the hedge both
 * copies give the same; so the experiment can fail.
 */

const PAIRS = isFull ? 20 : 1;
/** Of one pair: two or three guests to be restored on a busy machine, one after the other. */
const PAIR_MS = 300_000;
const SAVED_MS = 420_000;

const SAME = [GENERATIONS.same, GENERATIONS.same] as const;
const NEW = GENERATIONS.new;
/** By what an agent learns that it was restored: the surest that there is for it. */
type Sign = 'hardware-clock' | 'kernel-fork' | 'host';

/** What then parts a copy from the others, beside timers, which always do their part: nothing else is there to do it. */
const PARTED_BY: Readonly<Record<Sign, string>> = {
  'hardware-clock': 'timers alone',
  'kernel-fork': 'the VM generation in the kernel’s RNG',
  host: 'the burst',
};

interface Pair {
  readonly title: string;
  /** Of each copy. */
  readonly generations: readonly [string, string];
  readonly signs: readonly [Sign, Sign];
}

/** The quick run has one copy of each pair with a burst and one without; the full run has pairs of both kinds. */
const HEDGED: readonly Pair[] = isFull
  ? [
      {
        title: 'the same generation, told by the hardware clock',
        generations: SAME,
        signs: ['hardware-clock', 'hardware-clock'],
      },
      { title: 'the same generation, with a burst of the host', generations: SAME, signs: ['host', 'host'] },
      {
        title: 'another generation, told by the kernel',
        generations: NEW,
        signs: ['kernel-fork', 'kernel-fork'],
      },
      { title: 'another generation, with a burst of the host', generations: NEW, signs: ['host', 'host'] },
    ]
  : [
      {
        title: 'the same generation, one of them with a burst of the host',
        generations: SAME,
        signs: ['hardware-clock', 'host'],
      },
      {
        title: 'another generation, one of them with a burst of the host',
        generations: NEW,
        signs: ['kernel-fork', 'host'],
      },
    ];

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

    const seen = async (generation: string): Promise<{ drawn: Drawn; records: Buffer[] }> => {
      const copy = await snapshot.restore({ generation });
      if (generation !== GENERATIONS.same) await copy.untilForked();
      const drawn = await copy.ask('plain');
      const records = await copy.untilSentOnOld();
      await copy.end();
      return { drawn, records };
    };

    it.each(pairs)(
      'the same generation: all the same (pair $pair)',
      async () => {
        const [one, other] = [await seen(GENERATIONS.same), await seen(GENERATIONS.same)];
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
        const [one, other] = [await seen(first), await seen(second)];
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

    it.for(HEDGED.flatMap((one) => pairs.map(({ pair }) => ({ ...one, pair }))))(
      '$title (pair $pair)',
      { timeout: PAIR_MS },
      async ({ generations, signs }, { annotate }) => {
        const openssl: Drawn['openssl'][] = [];
        for (const [at, sign] of signs.entries()) {
          const generation = generations[at] ?? '';
          const isNew = generation !== GENERATIONS.same;
          const isTold = sign === 'host';
          // Bytes of the host come by its line alone, or also by virtio-rng.
          const hostRandom = isTold && isNew;
          const copy = await snapshot.restore({ generation, hostRandom });
          const restoredMs = performance.now();
          const atOnce = await copy.ask('library');
          openssl.push([...atOnce.openssl]);
          if (isTold) expect(await lab.tellHost(copy)).toBe(`${copy.name}: a burst on 1 line`);
          const { undone, ...resumed } = await copy.untilResumed(sign);
          expect(resumed).toEqual({ sign, os: 'fresh' });
          // On a busy host virtio-rng may be late too, which is said and stops nothing.
          expect(hostRandom ? [{}, NO_HWRNG] : [NO_HWRNG]).toContainEqual(undone);
          const tookS = ((performance.now() - restoredMs) / 1_000).toFixed(1);
          await annotate(`told by ${sign}, done after ${tookS} s, parted by ${PARTED_BY[sign]}`);
          expect(await copy.forks()).toBe(isNew ? 1 : 0);
          for (const bytes of [...streamsOf(atOnce), ...(await afterwards(copy))]) {
            expect(given.has(bytes)).toBe(false);
            given.add(bytes);
          }
          // What was open is gone, and not a byte was sent on it.
          expect(copy.oldConnections()).toEqual([{ payloads: [], ended: true }]);
          await copy.end();
        }
        // So the copies were copies: the OpenSSL of a process repeats until somebody tells it.
        expect(openssl[0]).toEqual(openssl[1]);
      },
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
