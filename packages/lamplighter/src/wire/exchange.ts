import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { LamplighterError } from '@lamplighter/core';
import type { PeerIdentity } from '../identity/roles.js';
import { completedHeaders } from './answer-headers.js';
import type { Spending } from './gate.js';
import { problemOf } from './problem.js';
import { announcesNoBody, checkBodyLength, endAfterBody, gatherBody } from './request-body.js';
import { type Exchange, type ResponseStream, pathOf, queryOf } from './route.js';

const GONE = 'the client is gone';
/** Up to here an answer's body leaves together with its headers. */
const SHORT_BYTES = 1_024;
const NO_BYTES = new Uint8Array(0);

/** What an exchange is waiting for, and since when; the listener cuts what takes too long. */
export interface Waiting {
  readonly what: 'body' | 'route' | 'write';
  /** Monotonic milliseconds (performance.now); of a route, which may take its time, it says nothing. */
  readonly sinceMs: number;
}

/** The connection an exchange is on, as far as it needs to know it. */
export type Party = Pick<Exchange, 'peer' | 'remoteAddress' | 'spend' | 'exportKeyingMaterial'> & {
  /** Serves no further request. */
  readonly retired: boolean;
  /** The last byte of the answer has been handed over, or the client is gone. */
  finished(exchange: HttpExchange): void;
};

/** An {@link Exchange} over node:http, from the parsed headers to the last byte of the answer. */
export class HttpExchange implements Exchange {
  #body: Uint8Array = NO_BYTES;
  #waitsForContinue: boolean;
  #query: URLSearchParams | undefined;
  #controller: AbortController | undefined;
  #cut: LamplighterError | undefined;
  #hasBody = false;
  #waitsFor: Waiting['what'] = 'route';
  #sinceMs = 0;
  #streaming = false;
  /** Made with the first write of an endless answer. */
  #writes: Set<(error: LamplighterError) => void> | undefined;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #party: Party;

  constructor(request: IncomingMessage, response: ServerResponse, party: Party) {
    this.#request = request;
    this.#response = response;
    this.#party = party;
    this.#waitsForContinue = request.headers.expect !== undefined;
    // Node reports a write to a socket that has just gone here as well as in the write's callback.
    response.on('error', ignore);
    response.on('close', () => {
      if (!response.writableFinished) this.cut(new LamplighterError('ERR_STOPPED', GONE));
      party.finished(this);
    });
  }

  get peer(): PeerIdentity {
    return this.#party.peer;
  }

  get remoteAddress(): string | undefined {
    return this.#party.remoteAddress;
  }

  get method(): string {
    return this.#request.method ?? '';
  }

  get path(): string {
    return pathOf(this.#request.url);
  }

  get target(): string {
    return this.#request.url ?? '';
  }

  get query(): URLSearchParams {
    return (this.#query ??= queryOf(this.#request.url));
  }

  get headers(): IncomingHttpHeaders {
    return this.#request.headers;
  }

  get body(): Uint8Array {
    return this.#body;
  }

  /** Made when first asked for: most answers need none. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cut !== undefined) this.#controller.abort(this.#cut);
    }
    return this.#controller.signal;
  }

  get waiting(): Waiting {
    return { what: this.#waitsFor, sinceMs: this.#sinceMs };
  }

  /** Whether the answer is an endless one. */
  get streaming(): boolean {
    return this.#streaming;
  }

  get answered(): boolean {
    return this.#response.headersSent || this.#cut !== undefined;
  }

  /** Whether there is a body to wait for. @throws LamplighterError ERR_BODY_TOO_LARGE when it announces more than `maxBytes` */
  expectsBody(maxBytes: number): boolean {
    if (announcesNoBody(this.headers)) {
      this.#hasBody = true;
      return false;
    }
    checkBodyLength(this.headers, maxBytes);
    return true;
  }

  /**
   * Takes the body if all of it has come already, as a short one has that was sent together with its headers: for less than
   * half of what the events of {@link HttpExchange.readBody} take.
   * @returns whether it had
   */
  takeBody(): boolean {
    const lengthBytes = this.headers['content-length'];
    if (lengthBytes === undefined || this.#waitsForContinue) return false;
    if (this.#request.readableLength !== Number(lengthBytes)) return false;
    const body: unknown = this.#request.read();
    if (!(body instanceof Uint8Array)) return false;
    this.#use(body);
    return true;
  }

  /**
   * Waits for the body.
   * @throws LamplighterError ERR_BODY_TOO_LARGE as soon as it is known to be longer than `maxBytes`; ERR_STOPPED when the
   *   client goes away before its end
   */
  async readBody(maxBytes: number): Promise<void> {
    this.#wait('body');
    if (this.#waitsForContinue) {
      this.#waitsForContinue = false;
      this.#response.writeContinue();
    }
    this.#use(await gatherBody(this.#request, maxBytes));
  }

  reply(status: number, headers: Readonly<Record<string, string>>, body: Uint8Array): void {
    if (!this.#begin(status, headers, body.length)) return;
    this.#wait('write');
    if (!this.#bodyIsHere() && !this.#waitsForContinue) {
      this.#wait('body');
      endAfterBody(this.#request, this.#response, body);
    } else if (body.length <= SHORT_BYTES) {
      // Node puts text behind the headers and writes both as one; bytes are a second piece, which costs as much as the mix.
      this.#response.end(asLatin1(body), 'latin1');
    } else this.#response.end(body);
  }

  stream(headers: Readonly<Record<string, string>>): ResponseStream {
    if (this.#begin(200, headers, undefined)) this.#response.flushHeaders();
    this.#streaming = true;
    return {
      write: (bytes) => this.#write(bytes),
      end: () => {
        this.#response.end();
        this.#wait('write');
      },
    };
  }

  spend(what: Spending, amount: number): void {
    this.#party.spend(what, amount);
  }

  exportKeyingMaterial(lengthBytes: number, label: string): Uint8Array {
    return this.#party.exportKeyingMaterial(lengthBytes, label);
  }

  /** Answers with what went wrong; when an answer has begun already it can only be broken off. */
  fail(error: unknown, headers: Readonly<Record<string, string>> = {}): void {
    if (this.#cut !== undefined) return;
    if (this.#response.headersSent) {
      this.#response.destroy();
      return;
    }
    const problem = problemOf(error);
    this.reply(problem.status, { ...problem.headers, ...headers }, problem.body);
  }

  /** Tells the route, through its signal, that nobody will hear more; an endless answer is ended properly. */
  cut(reason: LamplighterError): void {
    if (this.#cut !== undefined) return;
    this.#cut = reason;
    if (this.#streaming) this.#response.end();
    for (const reject of this.#writes ?? []) reject(reason);
    this.#writes?.clear();
    this.#controller?.abort(reason);
  }

  /**
   * @param lengthBytes - undefined for an endless answer
   * @returns false when nobody will hear the answer
   */
  #begin(
    status: number,
    headers: Readonly<Record<string, string>>,
    lengthBytes: number | undefined,
  ): boolean {
    if (this.#cut !== undefined) return false;
    if (this.#response.headersSent) throw new TypeError('there is an answer already');
    if (this.#party.retired || !this.#bodyIsHere()) this.#response.shouldKeepAlive = false;
    this.#response.writeHead(status, completedHeaders(headers, lengthBytes));
    return true;
  }

  #write(bytes: Uint8Array): Promise<void> {
    const writes = (this.#writes ??= new Set());
    return new Promise((resolve, reject) => {
      if (this.#cut !== undefined || this.#response.writableEnded) {
        reject(this.#cut ?? new LamplighterError('ERR_STOPPED', 'the answer was ended'));
        return;
      }
      if (writes.size === 0) this.#wait('write');
      writes.add(reject);
      this.#response.write(bytes, (error) => {
        writes.delete(reject);
        if (writes.size === 0) this.#waitsFor = 'route';
        if (error instanceof Error) reject(new LamplighterError('ERR_STOPPED', GONE, { cause: error }));
        else resolve();
      });
    });
  }

  #use(body: Uint8Array): void {
    this.#body = body;
    this.#hasBody = true;
    this.#waitsFor = 'route';
  }

  /** Node calls a request complete only a moment after its body is here, or after it has announced none. */
  #bodyIsHere(): boolean {
    return this.#hasBody || this.#request.complete || announcesNoBody(this.headers);
  }

  #wait(what: Waiting['what']): void {
    this.#waitsFor = what;
    this.#sinceMs = performance.now();
  }
}

const ignore = (): void => {};

const asLatin1 = ({ buffer, byteOffset, byteLength }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
