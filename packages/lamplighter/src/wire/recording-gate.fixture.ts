import type { LamplighterError } from '@lamplighter/core';
import type { PeerIdentity } from '../identity/roles.js';
import type { Gate, Spending } from './gate.js';

/** A gate that writes down what it is asked, and refuses what a test tells it to. */
export class RecordingGate implements Gate {
  /** `open NAME`, `close NAME`, `admit NAME`, `spend NAME WHAT AMOUNT`, in the order they came. */
  readonly asked: string[] = [];
  /** What is thrown from now on, by name of the method. */
  readonly refusals: { open?: unknown; admit?: unknown; spend?: LamplighterError } = {};

  open({ name }: PeerIdentity): void {
    this.asked.push(`open ${name}`);
    if (this.refusals.open !== undefined) throw this.refusals.open;
  }

  close({ name }: PeerIdentity): void {
    this.asked.push(`close ${name}`);
  }

  admit({ name }: PeerIdentity): void {
    this.asked.push(`admit ${name}`);
    if (this.refusals.admit !== undefined) throw this.refusals.admit;
  }

  spend({ name }: PeerIdentity, what: Spending, amount: number): void {
    this.asked.push(`spend ${name} ${what} ${amount}`);
    if (this.refusals.spend !== undefined) throw this.refusals.spend;
  }

  /** How often something was asked. */
  count(what: string): number {
    return this.asked.filter((asked) => asked === what).length;
  }
}
