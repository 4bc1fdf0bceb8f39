import { describe, expect, it } from 'vitest';
import { unable } from '../local/ability.js';
import { systemEnvironment } from '../local/environment.js';
import { systemNative } from '../local/native-doors.js';
import { addonFacts } from './addon-facts.js';
import type { Fact } from './fact.js';
import { runtimeFacts } from './runtime-facts.js';
import { type Runtime, type Subject, systemRuntime } from './subject.js';

const quiet: Runtime = {
  ...systemRuntime(),
  arguments: [],
  nodeOptions: '',
  preload: '',
  inspectorUrl: () => undefined,
};

function look(runtime: Partial<Runtime> = {}, more: Partial<Subject> = {}): Readonly<Record<string, Fact>> {
  const subject: Subject = {
    environment: systemEnvironment(),
    native: systemNative,
    runtime: { ...quiet, ...runtime },
    ...more,
  };
  const facts = [...runtimeFacts(subject), ...addonFacts(subject)];
  return Object.fromEntries(facts.map((fact) => [fact.id, fact]));
}

describe('this Node', () => {
  it('is good, with the versions it says', () => {
    const facts = look();
    expect(facts['node.version']).toMatchObject({
      level: 'ok',
      values: { node: process.version, openssl: process.versions.openssl },
    });
    expect(facts['node.rng']?.level).toBe('ok');
    expect(facts['node.debugger']?.level).toBe('ok');
  });

  it('offers the hybrid group where its OpenSSL is 3.5 or later', () => {
    const [major = 0, minor = 0] = process.versions.openssl.split('.').map(Number);
    expect(look()['node.hybrid']?.values).toEqual({ hybrid: major > 3 || (major === 3 && minor >= 5) });
    expect(systemRuntime().offersGroup('X25519')).toBe(true);
    expect(systemRuntime().offersGroup('X25519NONSENSE')).toBe(false);
  });

  it.each(['v18.20.4', 'v20.18.3'])('%s is too old', (version) => {
    expect(look({ version })['node.version']?.level).toBe('weak');
  });

  it.each<Partial<Runtime>>([
    { inspectorUrl: () => 'ws://127.0.0.1:9229/x' },
    { arguments: ['--inspect-brk=0'] },
    { nodeOptions: '--max-old-space-size=100 --inspect' },
  ])('with a debugger (%j) is weak', (runtime) => {
    expect(look(runtime)['node.debugger']).toMatchObject({ level: 'weak' });
  });

  it('with code of others is weak, and no option’s value is said', () => {
    const facts = look({ preload: '/tmp/x.so', nodeOptions: '--require=/home/me/secret.js' });
    expect(facts['node.preload']).toMatchObject({
      level: 'weak',
      values: { preload: true, nodeOptions: '--require' },
    });
    expect(JSON.stringify(facts)).not.toContain('secret');
  });

  it('whose OpenSSL repeats itself is broken', () => {
    const environment = {
      ...systemEnvironment(),
      runtimeRandom: (n: number) => Uint8Array.from({ length: n }, (_, i) => i),
    };
    expect(look({}, { environment })['node.rng']).toMatchObject({ level: 'broken' });
  });
});

describe('without the addon', () => {
  it.each([
    ['not built for linux-x64', 'npm run build'],
    ['switched off by LAMPLIGHTER_NATIVE=off', 'unset LAMPLIGHTER_NATIVE'],
  ])('(%s) it is said what is off, and what to do', (reason, command) => {
    const native = { ...systemNative, available: () => unable(reason) };
    const { addon } = look({}, { native });
    expect(addon).toMatchObject({ level: 'weak', values: { loaded: false } });
    expect(addon?.text).toContain('the TLS hedge, the seed’s lock');
    expect(addon?.action).toContain(command);
  });
});
