import { describe, expect, it } from 'vitest';
import { request } from './client.js';
import { ask, serverWith, upstreamAt } from './hostile-server.fixture.js';
import { refusalOf } from './refusal.js';

const WORDS = { ERR_TOKEN_SPENT: { message: 'our words', hint: 'our hint' } };

/** What an answer means to us. */
async function meaning(
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
  more: Parameters<typeof refusalOf>[2] = {},
) {
  const { port } = await serverWith({ role: 'relay' }, {}, (_asked, response) => {
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  return refusalOf(await request(upstreamAt(port), ask), new AbortController().signal, more);
}

describe('a refusal', () => {
  it('that says we are revoked is told as that, in our own words', async () => {
    const error = await meaning(403, { code: 'ERR_REVOKED', detail: 'call 555-0100 to pay' });
    expect(error).toMatchObject({ code: 'ERR_REVOKED', action: 'fix-configuration' });
    expect(error.message + String(error.hint)).not.toContain('555');
  });

  it('is known by the codes that whoever asked knows, and by no others', async () => {
    const problem = { code: 'ERR_TOKEN_SPENT' };
    expect(await meaning(403, problem, {}, WORDS)).toMatchObject({
      code: 'ERR_TOKEN_SPENT',
      message: 'our words',
    });
    expect(await meaning(403, problem)).toMatchObject({
      code: 'ERR_UPSTREAM_STATUS',
      message: 'the upstream refused: 403 ERR_TOKEN_SPENT',
    });
    for (const code of ['ERR_CONFIG', 'constructor', '__proto__', 'toString']) {
      expect(await meaning(403, { code }, {}, WORDS)).toMatchObject({ code: 'ERR_UPSTREAM_STATUS' });
    }
  });

  it('that is a server’s own failure says nothing of us, whatever its code', async () => {
    expect(await meaning(500, { code: 'ERR_REVOKED' })).toMatchObject({ code: 'ERR_UPSTREAM_STATUS' });
    expect(await meaning(503, { code: 'ERR_REVOKED' })).toMatchObject({ code: 'ERR_UPSTREAM_NOT_READY' });
    expect(await meaning(204, '')).toMatchObject({ code: 'ERR_UPSTREAM_STATUS' });
  });

  it('keeps when to ask again', async () => {
    expect(await meaning(429, { code: 'ERR_QUOTA' }, { 'retry-after': '12' })).toMatchObject({
      code: 'ERR_UPSTREAM_STATUS',
      retryAfterMs: 12_000,
      message: 'the upstream refused: 429 ERR_QUOTA, ask again in 12 s',
    });
    const soon = await meaning(429, { code: 'ERR_QUOTA' }, { 'retry-after': 'soon' });
    expect(soon.retryAfterMs).toBeUndefined();
  });
});
