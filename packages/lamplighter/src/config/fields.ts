import { LamplighterError } from '@lamplighter/core';
import { z } from 'zod';

/** Fields that several entries of a configuration share. */

/** A name on the status page, in metrics and in labels. */
export const entryName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, 'expected a name of a-z, 0-9, dot and hyphen, at most 63 long');

export const httpsUrl = z
  .url({ protocol: /^https$/, error: 'expected a URL that begins with https://' })
  .max(2048);

export const peer = entryName
  .optional()
  .describe('the name in the upstream’s certificate; when given it replaces the check of its host name');

export const periodMs = (least: number, most: number): z.ZodInt => z.int().min(least).max(most);

export const port = z.int().min(0).max(65_535);

/** Bits the kernel counts of the 64 bytes it is given. */
export const creditBits = z
  .int()
  .min(0)
  .max(512)
  .default(0)
  .describe('bits the kernel counts of the 64 bytes it is given; needs CAP_SYS_ADMIN');

/** Numbers of users or groups. */
export const ids = z.array(z.int().min(0)).max(256).default([]);

export const filePath = z.string().min(1).max(4096);

/**
 * Makes a fault that a part's own parser finds a fault of the configuration.
 * @param parse - throws LamplighterError
 */
export function refineBy(parse: () => unknown, context: z.RefinementCtx): void {
  try {
    parse();
  } catch (error) {
    if (!(error instanceof LamplighterError)) throw error;
    const hint = error.hint === undefined ? '' : `; ${error.hint}`;
    context.addIssue({ code: 'custom', message: `${error.message}${hint}` });
  }
}
