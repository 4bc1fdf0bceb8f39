import type { Duplex } from 'node:stream';
import { systemEnvironment } from '../../local/environment.js';
import { connectCarrier } from '../../wire/carrier-client.js';
import { duplexPair } from '../../wire/duplex-pair.fixture.js';
import { allLines, GuestLine } from './guest-line.js';

/** For tests: the host's end of one line. */
export interface HostEnd {
  /** Of the line, for the guest. */
  readonly guestEnd: Duplex;
  readonly hostEnd: Duplex;
  readonly line: GuestLine;
  /** Resolves when the host is done with the line. */
  readonly over: Promise<void>;
}

const environment = systemEnvironment();

/** For tests: serves a line. @param ends - of the line; memory unless told */
export function serveLine(
  accept: (connection: Duplex) => void,
  {
    ends = duplexPair(),
    signal = new AbortController().signal,
  }: { ends?: [Duplex, Duplex]; signal?: AbortSignal } = {},
): HostEnd {
  const [guestEnd, hostEnd] = ends;
  const line = new GuestLine(hostEnd, { environment, accept, all: allLines(environment) });
  return { guestEnd, hostEnd, line, over: line.serve(signal) };
}

/** For tests: a guest's connection over lines that are handed out one after the other; undefined: in use. */
export function connectOver(...lines: readonly (Duplex | undefined)[]): Duplex {
  const left = [...lines];
  return connectCarrier({ where: 'the line', open: () => Promise.resolve(left.shift()), environment });
}
