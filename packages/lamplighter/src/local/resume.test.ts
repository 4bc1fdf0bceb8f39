import { describe, expect, it } from 'vitest';
import { type Ability, able, unable } from './ability.js';
import { RESUME_STEPS, resumeSteps, type ResumeSteps } from './resume.js';

function noted(answers: Partial<Record<keyof ResumeSteps, () => Ability<unknown>>> = {}) {
  const order: string[] = [];
  const step = (name: keyof ResumeSteps) => () => {
    order.push(name);
    return answers[name]?.() ?? able(true);
  };
  const steps = Object.fromEntries(RESUME_STEPS.map((name) => [name, step(name)])) as unknown as ResumeSteps;
  return { order, steps };
}

describe('resume', () => {
  it('does the five steps in the order of DESIGN 6.4', () => {
    const { order, steps } = noted();
    expect(resumeSteps('resume', steps)).toMatchObject({ sign: 'resume', os: 'fresh' });
    expect(order).toEqual([
      'destroyConnections',
      'wipeMadeAhead',
      'burst',
      'hostEntropy',
      'reseedKernel',
      'readOs',
      'reseedOpenssl',
      'rotateSeed',
      'fetchBeacons',
    ]);
  });

  it.each(RESUME_STEPS)('goes on when %s throws or cannot be done, and says so', (name) => {
    for (const answer of [
      () => unable('not here'),
      () => {
        throw new Error('not here');
      },
    ]) {
      const { order, steps } = noted({ [name]: answer });
      const report = resumeSteps('pid', steps);
      expect(order).toEqual(RESUME_STEPS);
      expect(report.steps.filter(({ undone }) => undone !== undefined)).toEqual([
        { name, undone: 'not here' },
      ]);
    }
  });

  it('calls the OS bytes fresh only if the kernel was reseeded before they were read', () => {
    const { steps } = noted({ reseedKernel: () => unable('needs CAP_SYS_ADMIN') });
    expect(resumeSteps('clock', steps).os).toBe('may repeat');
    const failing = noted({ readOs: () => unable('no device') });
    expect(resumeSteps('clock', failing.steps).os).toBe('failed');
  });
});
