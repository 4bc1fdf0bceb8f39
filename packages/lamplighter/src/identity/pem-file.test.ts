import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { testAuthority } from './made-certificates.fixture.js';
import { pemOf, readAuthorities, readCertificates, readKeyFile } from './pem-file.js';

const environment = systemEnvironment();
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-pem-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function file(content: string | Uint8Array, mode = 0o600): Promise<string> {
  const path = join(folder, 'file.pem');
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

describe('a PEM file', () => {
  it('gives its certificates in order, and not the key between them', async () => {
    const [first, second] = [await testAuthority('first'), await testAuthority('second')];
    const { key } = await first.make();
    const path = await file(`# two of them\n${first.pem}\n${key.toString()}\n${second.pem}`);
    const certificates = await readCertificates(path, environment);
    expect(certificates.map(({ subject }) => subject)).toEqual(['CN=first', 'CN=second']);
    expect(pemOf(certificates).toString()).not.toContain('PRIVATE KEY');
    expect((await readAuthorities(path, environment)).equals(pemOf(certificates))).toBe(true);
  });

  it('of CAs holds nothing but CAs', async () => {
    const authority = await testAuthority();
    const { cert } = await authority.make();
    const path = await file(`${authority.pem}\n${cert.toString()}`);
    await expect(readAuthorities(path, environment)).rejects.toMatchObject({ code: 'ERR_CERTIFICATE_FILE' });
  });

  it('with a key is for nobody else', async () => {
    expect((await readKeyFile(await file('key', 0o400), environment)).toString()).toBe('key');
    for (const mode of [0o640, 0o604, 0o620]) {
      const path = await file('key', mode);
      await expect(readKeyFile(path, environment)).rejects.toMatchObject({
        code: 'ERR_KEY_FILE',
        hint: `chmod 600 ${path}`,
      });
    }
  });

  it('is a file, not too large, and there', async () => {
    const faulty = { code: 'ERR_CERTIFICATE_FILE' };
    await expect(readCertificates(folder, environment)).rejects.toMatchObject(faulty);
    await expect(readCertificates(join(folder, 'no'), environment)).rejects.toMatchObject(faulty);
    await expect(readCertificates(await file(Buffer.alloc(1_048_577)), environment)).rejects.toMatchObject(
      faulty,
    );
    await expect(readCertificates(await file(''), environment)).rejects.toMatchObject(faulty);
  });
});
