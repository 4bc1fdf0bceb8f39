import { describe, expect, it } from 'vitest';
import { parsePollenUrl, pollenSecrecy } from './pollen-url.js';

describe('where a pollen server is', () => {
  it('says who can know what it gives', () => {
    expect(pollenSecrecy({ url: 'https://a/', ca: 'ca.pem' })).toBe('pinned');
    expect(pollenSecrecy({ url: 'https://a/' })).toBe('unpinned');
    expect(pollenSecrecy({ url: 'http://a/' })).toBe('public');
    expect(pollenSecrecy({ url: 'http://a/', ca: 'ca.pem' })).toBe('public');
  });

  it('is a URL without a user', () => {
    expect(parsePollenUrl('https://[::1]:8443/path?q').host).toBe('[::1]:8443');
    for (const odd of ['', 'entropy.example', 'ftp://a/', 'https://', 'https://a:b@c/', 'https://a/#b']) {
      expect(() => parsePollenUrl(odd), odd).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }));
    }
  });
});
