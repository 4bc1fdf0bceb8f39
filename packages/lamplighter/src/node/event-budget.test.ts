import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { EVENT_SLOT_MS, eventBudget } from './event-budget.js';

function budget() {
  const environment = fixedEnvironment();
  const events: string[] = [];
  const sink = eventBudget(environment, (event) => events.push(Buffer.from(event).toString('hex')));
  return { environment, events, sink };
}

describe('event budget', () => {
  it('lets an event through at once when the slot is free', () => {
    const { environment, events, sink } = budget();
    sink.hear(Uint8Array.of(1));
    environment.advance(EVENT_SLOT_MS);
    sink.hear(Uint8Array.of(2));
    expect(events).toEqual(['01', '02']);
  });

  it('makes one event a slot of a flood, and every byte of the flood counts', () => {
    const flood = (last: number): string[] => {
      const { environment, events, sink } = budget();
      for (let i = 0; i < 1_000; i += 1) sink.hear(Uint8Array.of(i === 999 ? last : 0));
      environment.advance(EVENT_SLOT_MS);
      return events;
    };
    expect(flood(1).length).toBe(2);
    expect(flood(1)).toEqual(flood(1));
    expect(flood(1)[1]).not.toBe(flood(2)[1]);
    expect(flood(1)[1]).toHaveLength(64);
  });

  it('never makes more than 100 events a second, however it is driven', () => {
    const { environment, events, sink } = budget();
    for (let ms = 0; ms < 10_000; ms += 1) {
      sink.hear(Uint8Array.of(ms & 255));
      environment.advance(1);
    }
    expect(events.length).toBeLessThanOrEqual(1_001);
    expect(events.length).toBeGreaterThan(900);
  });

  it('tells apart the same bytes cut in two ways', () => {
    const cut = (...pieces: number[][]): string | undefined => {
      const { environment, events, sink } = budget();
      sink.hear(Uint8Array.of(0));
      for (const piece of pieces) sink.hear(Uint8Array.from(piece));
      environment.advance(EVENT_SLOT_MS);
      return events[1];
    };
    expect(cut([1, 2], [3])).not.toBe(cut([1], [2, 3]));
  });

  it('loses nothing when it is closed', () => {
    const { events, sink } = budget();
    sink.hear(Uint8Array.of(1));
    sink.hear(Uint8Array.of(2));
    sink.close();
    expect(events.length).toBe(2);
    sink.close();
    expect(events.length).toBe(2);
  });
});
