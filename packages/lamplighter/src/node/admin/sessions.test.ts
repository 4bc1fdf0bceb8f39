import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import { get, post, refusal, serveAdmin } from './served-admin.fixture.js';
import { hasCsrf, SESSION_LIMITS, Sessions } from './sessions.js';

describe('sessions', () => {
  it('are known by their cookie, until they are closed or end', () => {
    const environment = fixedEnvironment();
    const sessions = new Sessions(environment);
    const value = sessions.open();
    expect(value).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const session = sessions.find(value);
    if (session === undefined) throw new Error('it was just opened');
    expect(hasCsrf(session, session.csrf)).toBe(true);
    for (const other of ['', 'x', value, session.csrf.slice(1)]) expect(hasCsrf(session, other)).toBe(false);
    for (const other of ['', 'x', `${value}x`, session.csrf]) expect(sessions.find(other)).toBe(undefined);
    const closed = sessions.open();
    const other = sessions.find(closed);
    if (other === undefined) throw new Error('it was just opened');
    sessions.close(other);
    expect(sessions.find(closed)).toBe(undefined);
    expect(sessions.isLive(other)).toBe(false);
    environment.advance(SESSION_LIMITS.lifeMs - 1);
    expect(sessions.find(value)).toBe(session);
    environment.advance(1);
    expect(sessions.find(value)).toBe(undefined);
    expect(sessions.isLive(session)).toBe(false);
    expect(sessions.size).toBe(0);
  });

  it('are at most 64: the oldest gives up its place', () => {
    const sessions = new Sessions(fixedEnvironment());
    const values = Array.from({ length: SESSION_LIMITS.most + 1 }, () => sessions.open());
    expect(sessions.size).toBe(SESSION_LIMITS.most);
    expect(values.map((value) => sessions.find(value) !== undefined)).toEqual(
      values.map((_value, at) => at > 0),
    );
    expect(new Set(values).size).toBe(values.length);
  });
});

describe('logging in', () => {
  it('by a link works once, and gives a cookie that no script and no other site sees', async () => {
    const { ask, links, port, logged, events } = await serveAdmin();
    expect(JSON.parse((await ask(get('/v1/session'))).body)).toEqual({
      loggedIn: false,
      loopback: true,
      secure: false,
    });
    const { url } = await links.create(60_000, Date.now());
    const token = url.hash.slice(1);
    const body = JSON.stringify({ token });
    const answer = await ask(post('/v1/login', body));
    expect(answer).toMatchObject({ status: 204, body: '' });
    expect(answer.headers['set-cookie']).toMatch(
      new RegExp(`^lamplighter-${port}=[A-Za-z0-9_-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict$`),
    );
    const again = await ask(post('/v1/login', body));
    expect(refusal(again)).toBe('401 ERR_LOGIN');
    expect(again.headers['set-cookie']).toBe(undefined);
    expect(again.body).not.toContain(token);
    expect(events.since(0)).toMatchObject([
      { part: 'dashboard', text: 'a browser at 127.0.0.1 has logged in' },
    ]);
    expect(logged).toEqual(['a login was refused {"address":"127.0.0.1"}']);
    const cookie = `theme=dark; ${answer.headers['set-cookie']?.split(';', 1)[0] ?? ''}; x=y`;
    const session = JSON.parse((await ask(get('/v1/session', { cookie }))).body) as Record<string, unknown>;
    expect(session).toMatchObject({ loggedIn: true, csrf: expect.stringMatching(/^.{43}$/) as string });
  });

  it('by one link at the same time works for one', async () => {
    const { ask, links } = await serveAdmin();
    const { url } = await links.create(60_000, Date.now());
    const body = JSON.stringify({ token: url.hash.slice(1) });
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(post('/v1/login', body))));
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(7);
  });

  it.each(['{"token":1}', '{}', '{"token":"../../../etc/passwd"}', `{"token":"${'A'.repeat(43)}"}`])(
    'with %s is refused',
    async (body) => {
      const { ask } = await serveAdmin();
      expect(refusal(await ask(post('/v1/login', body)))).toBe('401 ERR_LOGIN');
    },
  );

  it.each(['', 'x', '[]', 'null', '"x"', '{'])('with the body %j is no request', async (body) => {
    const { ask } = await serveAdmin();
    expect(refusal(await ask(post('/v1/login', body)))).toBe('400 ERR_BAD_REQUEST');
  });

  it('wrongly thirty times makes wait, for a minute', async () => {
    const { ask, environment, login } = await serveAdmin();
    for (let times = 0; times < 30; times += 1) await ask(post('/v1/login', '{"token":"x"}'));
    const refused = await ask(post('/v1/login', '{"token":"x"}'));
    expect(refusal(refused)).toBe('429 ERR_QUOTA');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    await expect(login()).rejects.toThrow('429');
    environment.advance(60_000);
    expect(await login()).toMatchObject({ csrf: expect.any(String) as string });
  });

  it('ends with logging out, and with it the streams of the session', async () => {
    const { ask, login } = await serveAdmin();
    const { cookie, csrf } = await login();
    expect(refusal(await ask(post('/v1/logout', '{}')))).toBe('401 ERR_LOGIN');
    expect(refusal(await ask(post('/v1/logout', '{}', { cookie })))).toBe('403 ERR_ORIGIN');
    const wrong = {
      cookie,
      'x-lamplighter-csrf': csrf.replace(/^./, (first) => (first === 'A' ? 'B' : 'A')),
    };
    expect(refusal(await ask(post('/v1/logout', '{}', wrong)))).toBe('403 ERR_ORIGIN');
    const answer = await ask(post('/v1/logout', '{}', { cookie, 'x-lamplighter-csrf': csrf }));
    expect(answer.status).toBe(204);
    expect(answer.headers['set-cookie']).toContain('=; Path=/; Max-Age=0; HttpOnly');
    expect((await ask(get('/v1/session', { cookie }))).body).toContain('"loggedIn": false');
    expect(refusal(await ask(post('/v1/draw', '{}', { cookie, 'x-lamplighter-csrf': csrf })))).toBe(
      '401 ERR_LOGIN',
    );
  });
});
