import type { NodeStatus } from '../../lamplighter/src/wire/status.js';
import { list } from './figures.js';

type Rested = NodeStatus['rest'][number];

/** Whether output would still be unpredictable to somebody who knows some of the sources. */
export interface RestAnswer {
  readonly holds: boolean;
  readonly sentence: string;
}

/**
 * Answers "would it still be unpredictable if … were known?".
 * @param known - names of the sources that somebody is taken to know completely
 */
export function restAnswer(rest: readonly Rested[], known: ReadonlySet<string>): RestAnswer {
  const left = rest.filter(({ name, isSecret }) => isSecret && !known.has(name)).map(({ name }) => name);
  const struck = rest.filter(({ name, isSecret }) => isSecret && known.has(name)).map(({ name }) => name);
  if (rest.length === 0) {
    return { holds: false, sentence: 'Nothing has reached the generator yet, so nothing is served.' };
  }
  if (struck.length === 0) {
    return left.length === 0
      ? { holds: false, sentence: 'No: nothing that reached the generator is hidden from others.' }
      : { holds: true, sentence: `Unpredictable, as long as one of these is: ${list(left)}.` };
  }
  const taken = `Were ${list(struck)} known`;
  return left.length === 0
    ? { holds: false, sentence: `${taken}, no: nothing would be left that others do not know.` }
    : { holds: true, sentence: `${taken}, it would still be unpredictable: yes, from ${list(left)}.` };
}
