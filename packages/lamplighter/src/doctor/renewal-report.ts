import { z } from 'zod';
import { textOf } from './machine-files.js';
import type { Subject } from './subject.js';

/** What an agent was told when it asked. */
export interface Refusal {
  readonly code: string;
  /** Whether it was told that it is revoked. */
  readonly isRevocation: boolean;
}

const REVOKED = 'ERR_REVOKED';

const reason = z.object({ code: z.string().regex(/^ERR_[A-Z_]{1,40}$/) });

/** What of an agent's report concerns its certificate: codes, no text. */
const report = z.object({
  last: z.object({ relays: z.array(z.object({ reason: reason.optional() })).max(16) }),
  renewal: z.object({ renewed: z.boolean(), reason: reason.optional() }).optional(),
});

/** Why the agent's certificate was not renewed, or is taken by nobody any more, by the agent's report; undefined when all is well. */
export async function reportedRefusal({ environment, agent }: Subject): Promise<Refusal | undefined> {
  if (agent === undefined) return undefined;
  const text = await textOf(environment, agent.config.report);
  const found = report.safeParse(text === undefined ? undefined : jsonIn(text));
  if (!found.success) return undefined;
  const { last, renewal } = found.data;
  const code = renewal?.reason?.code;
  const isRevocation = code === REVOKED || last.relays.some((relay) => relay.reason?.code === REVOKED);
  if (isRevocation) return { code: REVOKED, isRevocation };
  return code === undefined ? undefined : { code, isRevocation };
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
