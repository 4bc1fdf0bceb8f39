import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type MadeCertificate, testAuthority } from './made-certificates.fixture.js';
import { expiryWarning, loadTlsFiles, type TlsPaths } from './tls-files.js';

const authority = await testAuthority();
const foreign = await testAuthority();
const day = 86_400_000;

let folder = '';
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
});
afterEach(() => fs.rm(folder, { recursive: true }));

interface Contents {
  readonly ca?: string | Uint8Array;
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
}

/** Files of a good relay, but for what is given. */
async function files(certificate: MadeCertificate = {}, contents: Contents = {}): Promise<TlsPaths> {
  const paths = {
    ca: join(folder, 'ca.pem'),
    cert: join(folder, 'relay.pem'),
    key: join(folder, 'relay.key'),
  };
  const { cert, key } = await authority.make(certificate);
  await fs.writeFile(paths.ca, contents.ca ?? authority.pem);
  await fs.writeFile(paths.cert, contents.cert ?? cert);
  await fs.writeFile(paths.key, contents.key ?? key, { mode: 0o600 });
  return paths;
}

async function refusal(
  paths: TlsPaths,
  code: string,
  file: keyof TlsPaths,
  text: RegExp,
  hint: RegExp,
): Promise<void> {
  await expect(loadTlsFiles(paths)).rejects.toMatchObject({
    code,
    message: expect.stringMatching(text) as string,
    hint: expect.stringMatching(hint) as string,
  });
  await expect(loadTlsFiles(paths)).rejects.toThrow(paths[file]);
}

describe('loadTlsFiles', () => {
  it('reads what belongs together', async () => {
    const paths = await files({ role: 'office', name: 'lamps' });
    const tls = await loadTlsFiles(paths);
    expect(tls.identity).toMatchObject({ role: 'office', name: 'lamps' });
    expect(tls.notAfter.getTime()).toBeGreaterThan(Date.now());
    expect(tls.cert).toEqual(await fs.readFile(paths.cert));
    expect(tls.key).toEqual(await fs.readFile(paths.key));
  });

  it('takes a second CA while one replaces the other, in any order', async () => {
    await expect(
      loadTlsFiles(await files({}, { ca: `${foreign.pem}\n${authority.pem}\n` })),
    ).resolves.toBeDefined();
  });

  it.each([0o640, 0o604, 0o620, 0o644, 0o660])('refuses a key of mode %o', async (mode) => {
    const paths = await files();
    await fs.chmod(paths.key, mode);
    await refusal(paths, 'ERR_KEY_FILE', 'key', new RegExp(`mode 0${mode.toString(8)}`), /^chmod 600 /);
  });

  it('takes a key that only its owner may read', async () => {
    const paths = await files();
    await fs.chmod(paths.key, 0o400);
    await expect(loadTlsFiles(paths)).resolves.toBeDefined();
  });

  it('refuses a key that is not the certificate’s', async () => {
    const { key } = await authority.make();
    await refusal(await files({}, { key }), 'ERR_KEY_FILE', 'key', /is not the key of/, /written together/);
  });

  it.each<[string, string]>([
    ['garbage', 'garbage'],
    ['nothing', ''],
    [
      'an encrypted key',
      '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n',
    ],
  ])('refuses %s as a key', async (_what, key) => {
    await refusal(
      await files({}, { key }),
      'ERR_KEY_FILE',
      'key',
      /no usable private key/,
      /unencrypted PEM/,
    );
  });

  it.each<[keyof TlsPaths, string]>([
    ['ca', 'ERR_CERTIFICATE_FILE'],
    ['cert', 'ERR_CERTIFICATE_FILE'],
    ['key', 'ERR_KEY_FILE'],
  ])('names a missing, oversized or odd %s', async (file, code) => {
    const paths = await files();
    await fs.rm(paths[file]);
    await refusal(paths, code, file, /cannot be read \(ENOENT\)/, /lamplighter ca issue/);
    await fs.writeFile(paths[file], Buffer.alloc(1_048_577), { mode: 0o600 });
    await expect(loadTlsFiles(paths)).rejects.toMatchObject({
      code,
      message: expect.stringContaining('larger than') as string,
    });
    await fs.rm(paths[file]);
    await fs.mkdir(paths[file], { mode: 0o700 });
    await expect(loadTlsFiles(paths)).rejects.toMatchObject({ code });
  });

  it.each<keyof TlsPaths & ('ca' | 'cert')>(['ca', 'cert'])(
    'refuses garbage and damage as %s',
    async (file) => {
      await refusal(
        await files({}, { [file]: 'garbage' }),
        'ERR_CERTIFICATE_FILE',
        file,
        /holds no PEM/,
        /ca issue/,
      );
      const damaged = '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n';
      await refusal(
        await files({}, { [file]: damaged }),
        'ERR_CERTIFICATE_FILE',
        file,
        /damaged/,
        /ca issue/,
      );
    },
  );

  it('refuses a certificate of another CA, even one of the same name', async () => {
    const { cert, key } = await foreign.make();
    await refusal(
      await files({}, { cert, key }),
      'ERR_CERTIFICATE_FILE',
      'cert',
      /not issued by the CA/,
      /from one CA/,
    );
  });

  it('refuses a CA as certificate, and a certificate as CA', async () => {
    await refusal(
      await files({}, { cert: authority.pem }),
      'ERR_CERTIFICATE_FILE',
      'cert',
      /exactly one/,
      /ca issue/,
    );
    const { cert } = await authority.make();
    await refusal(await files({}, { ca: cert }), 'ERR_CERTIFICATE_FILE', 'ca', /not a CA's/, /ca\.pem/);
  });

  it('refuses two certificates in one file', async () => {
    const [one, two] = [await authority.make(), await authority.make()];
    const cert = Buffer.concat([one.cert, Buffer.from('\n'), two.cert]);
    await refusal(await files({}, { cert }), 'ERR_CERTIFICATE_FILE', 'cert', /exactly one/, /ca issue/);
  });

  it('refuses a certificate without a role', async () => {
    const paths = await files({ names: [{ type: 'dns', value: 'localhost' }] });
    await refusal(paths, 'ERR_CERTIFICATE_FILE', 'cert', /has no role/, /ca issue/);
  });

  it('refuses an expired certificate', async () => {
    const paths = await files({
      notBefore: new Date(Date.now() - 2 * day),
      notAfter: new Date(Date.now() - day),
    });
    await refusal(paths, 'ERR_CERTIFICATE_FILE', 'cert', /expired on/, /clock/);
  });

  it('takes one that is not yet valid: the clock may not be set yet', async () => {
    const paths = await files({
      notBefore: new Date(Date.now() + day),
      notAfter: new Date(Date.now() + 2 * day),
    });
    await expect(loadTlsFiles(paths)).resolves.toBeDefined();
  });
});

describe('expiryWarning', () => {
  it('warns in the last seven days', async () => {
    const now = Date.now();
    const material = await authority.material({
      role: 'relay',
      name: 'r',
      notAfter: new Date(now + 7 * day),
    });
    expect(expiryWarning(material, now)).toBeUndefined();
    expect(expiryWarning(material, now + 1)).toMatch(/^the certificate of relay r expires on /);
  });
});
