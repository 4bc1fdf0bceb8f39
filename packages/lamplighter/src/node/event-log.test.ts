import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import type { NodeEvent } from '../wire/event.js';
import { EventLog } from './event-log.js';
import { logEvents } from './log.js';

const started = { level: 'info', part: 'node', text: 'started' } as const;

describe('the event log', () => {
  it('numbers and dates what it is told, and gives what came after a number', () => {
    const environment = fixedEnvironment();
    const log = new EventLog(environment);
    log.add(started);
    environment.advance(1_500);
    const reason = {
      code: 'ERR_CAMERA_DARK',
      message: 'the picture is dark',
      hint: 'take off the cap',
    } as const;
    log.add({ level: 'warn', part: 'source wall', text: 'source wall is degraded', reason });
    const [first, second] = log.since(0);
    expect(first).toEqual({ id: 1, atMs: 1_700_000_001_000, ...started });
    expect(second).toMatchObject({ id: 2, atMs: 1_700_000_002_500, reason });
    expect(log.since(1)).toEqual([second]);
    expect(log.since(2)).toEqual([]);
  });

  it('keeps the last 500, and goes on counting', () => {
    const log = new EventLog(fixedEnvironment());
    for (let n = 1; n <= 1_234; n++) log.add({ ...started, text: String(n) });
    const kept = log.since(0);
    expect(kept).toHaveLength(500);
    expect(kept[0]).toMatchObject({ id: 735, text: '735' });
    expect(log.since(1_233)).toHaveLength(1);
  });

  it('cuts what is too long: a reason may come from a peer', () => {
    const log = new EventLog(fixedEnvironment());
    const endless = 'x'.repeat(100_000);
    log.add({
      level: 'warn',
      part: 'node',
      text: endless,
      reason: { code: 'ERR_INTERNAL', message: endless },
    });
    expect(JSON.stringify(log.since(0)).length).toBeLessThan(1_200);
  });

  it('tells everybody who listens, until he does no more', () => {
    const log = new EventLog(fixedEnvironment());
    const heard: NodeEvent[] = [];
    const stop = log.onEvent((event) => heard.push(event));
    log.add(started);
    stop();
    log.add(started);
    expect(heard.map(({ id }) => id)).toEqual([1]);
  });

  it('is what the log on standard error is written from', () => {
    const events = new EventLog(fixedEnvironment());
    const lines: unknown[] = [];
    const writes = (level: string) => (fields: unknown, text: string) => lines.push([level, fields, text]);
    logEvents(events, { info: writes('info'), warn: writes('warn'), error: writes('error') });
    events.add(started);
    events.add({
      ...started,
      level: 'error',
      text: 'seeding failed',
      reason: { code: 'ERR_INTERNAL', message: 'an error' },
    });
    expect(lines).toEqual([
      ['info', { part: 'node' }, 'started'],
      ['error', { part: 'node', reason: { code: 'ERR_INTERNAL', message: 'an error' } }, 'seeding failed'],
    ]);
  });
});
