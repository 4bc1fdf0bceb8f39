import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { type OriginOptions, parseOrigin } from './origin.js';

describe('parseOrigin', () => {
  it.each<[OriginOptions, object]>([
    [
      { command: ['openssl', 'rand', '64'] },
      { kind: 'command', program: 'openssl', args: ['rand', '64'], once: false, shown: 'openssl' },
    ],
    [
      { command: ['/opt/a b/trng'], once: true },
      { kind: 'command', program: '/opt/a b/trng', once: true },
    ],
    [{ command: ['awk', 'BEGIN {\n  print rand() }'] }, { args: ['BEGIN {\n  print rand() }'] }],
    [{ path: '/dev/ttyACM0' }, { kind: 'path', path: '/dev/ttyACM0' }],
    [{ connect: 'unix:/run/trng.sock' }, { kind: 'unix', path: '/run/trng.sock' }],
    [{ connect: 'tcp:127.0.0.1:7777' }, { kind: 'tcp', host: '127.0.0.1', port: 7777 }],
    [{ connect: 'tcp:hive.example:1' }, { kind: 'tcp', host: 'hive.example', port: 1 }],
    [{ connect: 'tcp:[::1]:65535' }, { kind: 'tcp', host: '::1', port: 65_535 }],
  ])('reads %j', (options, expected) => {
    expect(parseOrigin(options)).toMatchObject(expected);
  });

  it('shows no argument of a command', () => {
    expect(parseOrigin({ command: ['trng', '--password', 'sesame'] }).shown).toBe('trng');
  });

  it.each<OriginOptions>([
    {},
    { command: ['a'], path: '/b' },
    { path: '/b', connect: 'unix:/c' },
    { path: '/b', once: true },
    { path: '/b', once: false },
    { command: [] },
    { command: [''] },
    { command: ['openssl rand 64'] },
    { command: ['-c', 'x'] },
    { command: ['./trng'] },
    { command: ['bin/trng'] },
    { command: ['trng', 'a\0b'] },
    { command: ['trng', 'a'.repeat(16_385)] },
    { command: ['tr\tng'] },
    { command: ['trng', ...Array.from({ length: 129 }, () => 'a')] },
    { path: '' },
    { path: 'trng' },
    { path: `/${'a'.repeat(512)}` },
    { path: '/dev/tty\n' },
    { connect: '' },
    { connect: 'unix:' },
    { connect: 'unix:run/trng' },
    { connect: `unix:/${'é'.repeat(54)}` },
    { connect: 'tcp:host' },
    { connect: 'tcp:host:' },
    { connect: 'tcp:host:0' },
    { connect: 'tcp:host:65536' },
    { connect: 'tcp:::1:80' },
    { connect: 'tcp::80' },
    { connect: 'udp:host:80' },
    { connect: 'tcp:user@host:80' },
    { connect: `tcp:${'a'.repeat(254)}:80` },
  ])('refuses %j before anything runs', (options) => {
    expect(() => parseOrigin(options)).toThrow(LamplighterError);
    expect(() => parseOrigin(options)).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }));
  });
});
