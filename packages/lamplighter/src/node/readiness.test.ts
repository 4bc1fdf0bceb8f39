import { describe, expect, it } from 'vitest';
import { NO_BASIS } from '../wire/basis.js';
import type { OutletStatus, SourceState, SourceStatus } from '../wire/status.js';
import { judge, outletReasons, withComplaints } from './readiness.js';

const FAULT = { code: 'ERR_CAMERA_GONE', message: 'no connection' } as const;
const WAITING = { code: 'ERR_NOT_SEEDED', message: 'the OS RNG has not answered' } as const;

const source = (state: SourceState, basis = NO_BASIS): SourceStatus => ({
  name: 'wall',
  kind: 'camera',
  required: false,
  state,
  ...((state === 'failed' || state === 'degraded') && { reason: FAULT }),
  basis,
  details: {},
  bytes: 1,
  events: 1,
});

const outlet = (state: OutletStatus['state']): OutletStatus => ({
  name: 'kernel',
  kind: 'kernel',
  state,
  ...(state === 'failed' && { reason: { code: 'ERR_KERNEL_WRITE', message: 'refused' } }),
  bytes: 0,
  details: {},
});

describe('readiness', () => {
  it('is starting until seeded, and says what it waits for', () => {
    expect(judge(false, WAITING, [source('ok')], false)).toMatchObject({
      state: 'starting',
      reasons: [WAITING],
    });
    expect(judge(true, WAITING, [source('ok')], false)).toMatchObject({ state: 'ready', reasons: [] });
  });

  it.each(['failed', 'degraded'] as const)('is degraded by a %s source, which it names', (state) => {
    expect(judge(true, undefined, [source(state)], false)).toMatchObject({
      state: 'degraded',
      basis: { degraded: true },
      reasons: [{ code: 'ERR_CAMERA_GONE', message: 'wall: no connection' }],
    });
  });

  it.each(['starting', 'ended', 'stopped'] as const)('is not degraded by a source that is %s', (state) => {
    expect(judge(true, undefined, [source(state)], false).state).toBe('ready');
  });

  it('claims physical only while a healthy source does', () => {
    const physical = { ...NO_BASIS, physical: true };
    expect(judge(true, undefined, [source('ok', physical)], false).basis.physical).toBe(true);
    for (const state of ['failed', 'degraded', 'starting', 'ended', 'stopped'] as const) {
      expect(judge(true, undefined, [source(state, physical)], false).basis.physical).toBe(false);
    }
  });

  it('never takes simulated back', () => {
    expect(judge(true, undefined, [], true).basis.simulated).toBe(true);
  });

  it('is degraded by a failed outlet, but its output is no worse for it', () => {
    const heard = judge(true, undefined, [source('ok')], false);
    expect(withComplaints(heard, outletReasons([outlet('ok'), outlet('waiting')]))).toEqual(heard);
    expect(withComplaints(heard, outletReasons([outlet('failed')]))).toMatchObject({
      state: 'degraded',
      basis: { degraded: false },
      reasons: [{ code: 'ERR_KERNEL_WRITE', message: 'kernel: refused' }],
    });
    expect(withComplaints(judge(false, WAITING, [], false), outletReasons([outlet('failed')])).state).toBe(
      'starting',
    );
  });
});
