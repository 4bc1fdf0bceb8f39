import { X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createAuthority, issueCertificate } from '../identity/authority.js';
import { parseLife } from '../identity/life.js';
import { policyDirectory, readPolicy } from '../identity/policy-folder.js';
import { addPolicyCommands } from './ca-policy-command.js';

let ca: string;
beforeEach(async () => {
  ca = await fs.mkdtemp(join(tmpdir(), 'lamplighter-ca-cli-'));
  await createAuthority({ directory: ca });
});
afterEach(async () => {
  process.exitCode = undefined;
  await fs.rm(ca, { recursive: true, force: true });
});

/** `lamplighter ca …`; throws what the program would explain. */
async function run(
  command: string,
  ...args: string[]
): Promise<{ out: string; said: string; exitCode: unknown }> {
  const program = new Command('lamplighter').exitOverride().configureOutput({ writeErr: () => undefined });
  addPolicyCommands(program.command('ca'));
  let [out, said] = ['', ''];
  const stdout = vi
    .spyOn(process.stdout, 'write')
    .mockImplementation((text) => ((out += String(text)), true));
  const stderr = vi
    .spyOn(process.stderr, 'write')
    .mockImplementation((text) => ((said += String(text)), true));
  try {
    await program.parseAsync(['ca', command, '--ca', ca, ...args], { from: 'user' });
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
  return { out, said, exitCode: process.exitCode };
}

async function issue(name: string): Promise<string> {
  const lifeMs = parseLife('30d');
  const out = join(ca, 'out');
  const made = await issueCertificate({
    authorityDirectory: ca,
    role: 'machine',
    name,
    lifeMs,
    outDirectory: out,
    overwrite: true,
  });
  return new X509Certificate(await fs.readFile(made.certificate)).serialNumber;
}

describe('lamplighter ca revoke, unrevoke and policy', () => {
  it('revoke a name with its certificates, list them, and give the name free', async () => {
    const serial = await issue('web-1');
    const revoked = await run('revoke', '--name', 'web-1', '--reason', 'stolen');
    expect(revoked.out).toBe('web-1 is revoked\n');
    expect(revoked.said).toContain('with 1 certificate;');

    const listed = await run('policy');
    expect(listed.out).toMatch(
      new RegExp(
        `^name   web-1  revoked 20.*Z, stolen\nserial ${serial}  revoked 20.*Z, it expires 20.*Z, stolen\n$`,
      ),
    );
    expect(JSON.parse((await run('policy', '--json')).out)).toMatchObject({
      names: [{ name: 'web-1', reason: 'stolen' }],
      serials: [{ serial, reason: 'stolen' }],
      quotas: [],
      faults: [],
    });

    expect((await run('unrevoke', '--name', 'web-1')).out).toBe('web-1 is free\n');
    expect(await readPolicy(ca)).toMatchObject({
      revokedNames: new Set(),
      revokedSerials: new Set([serial]),
    });
    expect(await run('unrevoke', '--name', 'web-1')).toMatchObject({ out: '', exitCode: undefined });
  });

  it('revoke a name that the register does not know, and say so', async () => {
    const { out, said } = await run('revoke', '--name', 'wbe-1');
    expect(out).toBe('wbe-1 is revoked\n');
    expect(said).toContain('knows no unexpired certificate of wbe-1');
  });

  it('revoke one certificate, or all but the newest', async () => {
    const [one, two, three] = [await issue('web-1'), await issue('web-1'), await issue('web-1')];
    expect((await run('revoke', '--serial', one.toLowerCase())).out).toBe(`${one} is revoked\n`);
    expect((await run('revoke', '--name', 'web-1', '--but-newest')).said).toContain(`${three} stays good`);
    expect((await readPolicy(ca)).revokedSerials).toEqual(new Set([one, two]));
    expect((await run('revoke', '--serial', 'ABC')).said).toContain('does not know it');
  });

  it.each([
    [[]],
    [['--name', 'web-1', '--serial', 'AB']],
    [['--serial', 'AB', '--but-newest']],
    [['--name', '../x']],
    [['--name', 'Web-1']],
    [['--serial', '../x']],
    [['--name', 'web-1', '--reason', 'two\nlines']],
  ])('refuse %j, and decide nothing', async (args) => {
    await expect(run('revoke', ...args)).rejects.toMatchObject({ code: 'ERR_USAGE' });
    await expect(fs.access(policyDirectory(ca))).rejects.toThrow();
  });

  it('tell of what is torn, with an exit code, though it is in force', async () => {
    await run('revoke', '--name', 'web-1');
    await fs.writeFile(join(policyDirectory(ca), 'name-web-2.json'), '');
    const { out, said, exitCode } = await run('policy');
    expect(out).toMatch(/name {3}web-1 .*\nname {3}web-2 {2}revoked some time\n/);
    expect(said).toContain('ERR_POLICY_FILE');
    expect(exitCode).toBe(1);
  });

  it('remove what has expired when asked to', async () => {
    await run('revoke', '--serial', 'AB');
    await fs.writeFile(join(policyDirectory(ca), 'serial-AB.json'), '{"notAfter":"2020-01-01T00:00:00Z"}');
    expect((await run('policy', '--prune')).said).toContain('1 expired');
    expect((await readPolicy(ca)).revokedSerials.size).toBe(0);
  });
});

describe('lamplighter ca quota', () => {
  it('gives a name numbers of its own, and takes them away', async () => {
    expect(
      (await run('quota', '--name', 'web-1', '--beacons-per-minute', '600', '--connections', '3')).out,
    ).toBe('web-1 has beacons-per-minute 600, connections 3\n');
    expect((await readPolicy(ca)).quotas).toEqual(
      new Map([['web-1', { beaconsPerMinute: 600, connections: 3 }]]),
    );
    expect((await run('policy')).out).toMatch(
      /^quota {2}web-1 {2}set 20.*Z, beacons-per-minute 600, connections 3\n$/,
    );
    expect((await run('quota', '--name', 'web-1', '--remove')).out).toBe('web-1 has what its role has\n');
    expect((await readPolicy(ca)).quotas.size).toBe(0);
  });

  it('takes only numbers that a quota may be', async () => {
    await expect(run('quota', '--name', 'web-1')).rejects.toMatchObject({ code: 'ERR_USAGE' });
    await expect(run('quota', '--name', 'web-1', '--connections', '1', '--remove')).rejects.toMatchObject({
      code: 'ERR_USAGE',
    });
    for (const connections of ['0', '65537', '1.5', '-1', 'x']) {
      await expect(run('quota', '--name', 'web-1', '--connections', connections)).rejects.toThrow(
        /whole number/,
      );
    }
    expect((await readPolicy(ca)).quotas.size).toBe(0);
  });
});
