import { describe, expect, it } from 'vitest';
import { frameSenderOf } from './camera-door.js';

describe('frameSenderOf', () => {
  it('takes the word of the page, bounded, and whether it admits to be simulated', () => {
    expect(frameSenderOf({ 'x-lamplighter-page': 'abc' })).toEqual({ page: 'abc', simulated: false });
    expect(frameSenderOf({ 'x-lamplighter-page': 'a'.repeat(1_000) }).page).toHaveLength(64);
    expect(frameSenderOf({ 'lamplighter-basis': 'physical, simulated' })).toEqual({
      page: '',
      simulated: true,
    });
    expect(frameSenderOf({ 'lamplighter-basis': 'physical' }).simulated).toBe(false);
    expect(frameSenderOf({ 'x-lamplighter-page': ['a', 'b'] }).page).toBe('');
  });
});
