import net from 'node:net';
import { describe, expect, it } from 'vitest';
import { connect, get, serve } from './served-listener.fixture.js';

const soon = { timeout: 10_000, interval: 10 };

describe("a listener's status", () => {
  it('counts who is there, who is still on the way, and who was turned away', async () => {
    const { listener, port } = await serve();
    expect(listener.status()).toMatchObject({
      connections: 0,
      handshakes: { done: 0, begun: 0, waiting: 0, silent: 0 },
      queued: 0,
      refused: { role: 0 },
    });
    const peer = await connect(port);
    await peer.ask(get('/hello'));
    const office = await connect(port, { role: 'office', name: 'office' });
    await office.ask(get('/hello'));
    const silent = net.connect(port, '127.0.0.1');
    await expect
      .poll(() => listener.status(), soon)
      .toMatchObject({ connections: 2, handshakes: { done: 2, silent: 1 }, refused: { role: 1 } });
    silent.destroy();
    peer.socket.destroy();
    await expect
      .poll(() => listener.status(), soon)
      .toMatchObject({ connections: 1, handshakes: { done: 2, silent: 0 } });
  });

  it('counts the requests that wait for their turn, and is empty when they have had it', async () => {
    const seen = { most: 0 };
    // No time to answer at all: whoever comes waits for the next turn of the event loop, and who comes next sees it.
    const { listener, port } = await serve({
      answerBudgetMs: 0,
      before: () => (seen.most = Math.max(seen.most, listener.status().queued)),
    });
    const peers = await Promise.all(Array.from({ length: 12 }, () => connect(port)));
    for (let round = 0; round < 50 && seen.most === 0; round += 1) {
      await Promise.all(peers.map((peer) => peer.ask(get('/hello'))));
    }
    expect(seen.most).toBeGreaterThan(0);
    expect(listener.status().queued).toBe(0);
  });
});
