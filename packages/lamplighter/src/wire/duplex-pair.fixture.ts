import { Duplex } from 'node:stream';

/** Two ends of a connection that is no socket: what one writes the other reads, with back-pressure. */
export function duplexPair(): [Duplex, Duplex] {
  const waiting = new Map<Duplex, () => void>();
  const end = (peer: () => Duplex): Duplex =>
    new Duplex({
      read() {
        const resume = waiting.get(this);
        waiting.delete(this);
        resume?.();
      },
      write(chunk: Buffer, _encoding, done) {
        if (peer().push(chunk)) done();
        else waiting.set(peer(), done);
      },
      final(done) {
        peer().push(null);
        done();
      },
      destroy(error, done) {
        if (!peer().destroyed) peer().destroy();
        done(error);
      },
    });
  const ends: [Duplex, Duplex] = [end(() => ends[1]), end(() => ends[0])];
  return ends;
}
