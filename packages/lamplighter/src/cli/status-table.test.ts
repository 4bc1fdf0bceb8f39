import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ratesBetween } from './status-rates.js';
import { aSource, aStatus, anOutlet } from './status.fixture.js';
import { statusLines } from './status-table.js';
import { durationWords, sizeWords } from './status-words.js';

const NOW_MS = Date.parse('2026-01-01T00:00:03.000Z');
const view = (width: number) => ({
  where: 'http://127.0.0.1:9600',
  width,
  paint: (_: unknown, text: string) => text,
  nowMs: NOW_MS,
});
const later = aStatus({
  uptimeMs: 12_000,
  sources: [aSource({ bytes: 5_000, events: 300 }), aSource({ name: 'wall', kind: 'camera', bytes: 1_000 })],
  outlets: [anOutlet({ bytes: 12_800 })],
});

describe('a status on a terminal', () => {
  it('begins with state and reasons, and has all the rest, with rates by the node’s clock', () => {
    const degraded = {
      ...later,
      state: 'degraded' as const,
      reasons: [
        { code: 'ERR_CAMERA_DARK' as const, message: 'wall: the picture is dark', hint: 'is the lamp on?' },
      ],
    };
    const lines = statusLines(degraded, aStatus(), view(100));
    expect(lines.slice(0, 10)).toEqual([
      'relay-1  degraded  up 12 s, lamplighter 0.1.0, process 4711, 90.0 MB of memory,',
      '  http://127.0.0.1:9600',
      '  - wall: the picture is dark [ERR_CAMERA_DARK]',
      '    hint: is the lamp on?',
      'basis        physical',
      'rests on     os; known to others: wall',
      'generator    improved, seeded, 1,234 reseeds (12 direct), last 3.0 s ago',
      'pools        64B 1.90kB (since drained, pool 0 first)',
      'hedge        on',
      'resumed      once, last 3.0 s ago (vm-generation); the OS RNG: fresh',
    ]);
    expect(lines).toContain('source  kind    state    heard      bytes  events       last');
    expect(lines).toContain('os      os      ok     5.00 kB  2.00 kB/s   100/s  3.0 s ago');
    expect(lines).toContain('beacons  beacon  ok     12.8 kB  3.20 kB/s  beacons 100');
    expect(lines.join('\n')).toContain(
      'peers        2 known; refused: quota 3, revoked 1; most: machine web-1 (50 beacons)',
    );
  });

  it('is as wide as there is room for, whatever it says, and loses no reason', () => {
    const words = fc
      .string({ minLength: 1, maxLength: 120 })
      .map((text) => text.replace(/\s+/g, ' ').trim() || 'x');
    fc.assert(
      fc.property(fc.integer({ min: 40, max: 200 }), words, words, (width, name, message) => {
        const status = aStatus({
          state: 'degraded',
          reasons: [{ code: 'ERR_OS_RNG', message }],
          sources: [aSource({ name })],
          outlets: [anOutlet({ name })],
        });
        const lines = statusLines(status, undefined, view(width));
        for (const line of lines) expect(Array.from(line).length).toBeLessThanOrEqual(width);
        expect(lines.join('').replace(/\s/g, '')).toContain(message.replace(/\s/g, ''));
      }),
    );
  });

  it('fits into 60 columns with name, state and rates', () => {
    const lines = statusLines(later, aStatus(), view(60));
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(60);
    expect(lines.find((line) => line.startsWith('os '))).toMatch(/ok .*2\.00 kB\/s.*100\/s/);
  });

  it('paints the state, and nothing that is not there to be painted', () => {
    const lines = statusLines(later, undefined, {
      ...view(100),
      paint: (tone, text) => `<${tone}>${text}</>`,
    });
    expect(lines[0]).toMatch(/^relay-1 {2}<good>ready<\/>/);
    expect(lines.join('\n')).toMatch(/os {6}os {6}<good>ok *<\/>/);
  });
});

describe('rates', () => {
  it('are not claimed across a restart, a reload of a part, or without time between', () => {
    expect(ratesBetween(undefined, later).sources.size).toBe(0);
    expect(ratesBetween(aStatus({ pid: 1 }), later).sources.size).toBe(0);
    expect(ratesBetween(aStatus({ uptimeMs: 12_000 }), later).sources.size).toBe(0);
    const anew = ratesBetween(aStatus(), { ...later, sources: [aSource({ bytes: 10 })] });
    expect(anew.sources.get('os')).toBeUndefined();
    expect(ratesBetween(aStatus(), later).sources.get('os')).toEqual({ bytes: 2_000, events: 100 });
  });
});

it.each([
  [0, '0.0 s'],
  [59_999, '59 s'],
  [61_000, '1 min 1 s'],
  [3 * 3_600_000, '3 h'],
  [90_000_000, '1 d 1 h'],
])('says how long %d ms are', (ms, words) => expect(durationWords(ms)).toBe(words));

it.each([
  [0, '0 B'],
  [999, '999 B'],
  [1_000, '1.00 kB'],
  [123_456_789, '123 MB'],
])('says how much %d bytes are', (bytes, words) => expect(sizeWords(bytes)).toBe(words));
