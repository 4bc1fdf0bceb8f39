import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { News, guestNumber } from './news.js';

const REQUEST = 'data/lamplighter/entropy/request';

describe('News', () => {
  it('tells apart what came, what asks, and what is nothing to us', () => {
    const news = new News(REQUEST);
    expect(news.note('/local/domain/7')).toBe(true);
    expect(news.note(`/local/domain/8/${REQUEST}`)).toBe(true);
    for (const nothing of [
      '/local/domain/7/data/lamplighter/entropy',
      `/local/domain/7/${REQUEST}/x`,
      `/local/domain/7/x/${REQUEST}`,
      `/local/domain/0/${REQUEST}`,
      '/local/domain/0',
      '/local/domain/32752',
      '/local/domain/07',
      '/local/domain/',
      '/local/domainx/7',
      '/local',
      '',
      '@other',
    ]) {
      expect([nothing, news.note(nothing)]).toEqual([nothing, false]);
    }
    expect([[...news.changed], [...news.asked]]).toEqual([[7], [8]]);
    expect([news.relist, news.introduced, news.released]).toEqual([false, false, false]);
  });

  it('notes the watches that name no domain', () => {
    const news = new News(REQUEST);
    for (const path of ['/local/domain', '@introduceDomain', '@releaseDomain'])
      expect(news.note(path)).toBe(true);
    expect([news.relist, news.introduced, news.released]).toEqual([true, true, true]);
  });

  it('is bounded by the numbers there are, whatever it is told', () => {
    const news = new News(REQUEST);
    for (let number = 0; number < 70_000; number += 1) {
      news.note(`/local/domain/${number}`);
      news.note(`/local/domain/${number}/${REQUEST}`);
    }
    expect([news.changed.size, news.asked.size]).toEqual([0x7ff0 - 1, 0x7ff0 - 1]);
  });

  it('never takes a name that is not written as a number is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.integer().map(String), fc.float().map(String)), (name) => {
        const number = guestNumber(name);
        if (number !== undefined) expect(String(number)).toBe(name);
      }),
    );
  });

  it('keeps nothing of a million events that say nothing', () => {
    const news = new News(REQUEST);
    for (let event = 0; event < 1_000_000; event += 1)
      news.note(`/local/domain/7/device/vif/0/state${event}`);
    expect(news.changed.size + news.asked.size).toBe(0);
  });
});
