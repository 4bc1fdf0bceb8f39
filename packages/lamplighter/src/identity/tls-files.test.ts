import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chainedCertificates, type ChainedCertificate } from './chained-certificates.fixture.js';
import {
  CLIENT_AUTH,
  type MadeCertificate,
  SERVER_AUTH,
  testAuthority,
} from './made-certificates.fixture.js';
import { loadTlsFiles, type TlsPaths } from './tls-files.js';

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
    await refusal(paths, 'ERR_CERTIFICATE_EXPIRED', 'cert', /expired on/, /clock/);
    expect((await loadTlsFiles(paths, { evenIfExpired: true })).notAfter.getTime()).toBeLessThan(Date.now());
  });

  it('takes one that is not yet valid: the clock may not be set yet', async () => {
    const paths = await files({
      notBefore: new Date(Date.now() + day),
      notAfter: new Date(Date.now() + 2 * day),
    });
    await expect(loadTlsFiles(paths)).resolves.toBeDefined();
  });
});

/** Files of a machine under intermediates, but for what is given. */
async function chainFiles(
  made: ChainedCertificate = {},
  contents: (chain: Awaited<ReturnType<typeof chainedCertificates>>) => Contents = () => ({}),
): Promise<TlsPaths> {
  const chain = await chainedCertificates(made);
  const paths = {
    ca: join(folder, 'ca.pem'),
    cert: join(folder, 'machine.pem'),
    key: join(folder, 'machine.key'),
  };
  const given = contents(chain);
  await fs.writeFile(paths.ca, given.ca ?? chain.root);
  await fs.writeFile(paths.cert, given.cert ?? [chain.leaf, ...chain.intermediates].join('\n'));
  await fs.writeFile(paths.key, given.key ?? chain.key, { mode: 0o600 });
  return paths;
}

describe('loadTlsFiles with the certificates of another CA', () => {
  it.each<[string, ChainedCertificate]>([
    ['P-256', { keys: 'P-256' }],
    ['P-384', { keys: 'P-384' }],
    ['RSA', { keys: 'RSA' }],
    ['Ed25519 below RSA', { keys: 'Ed25519', authorityKeys: 'RSA' }],
    ['four intermediates', { intermediates: 4 }],
    ['no intermediate', { intermediates: 0 }],
  ])('takes %s', async (_what, made) => {
    const paths = await chainFiles(made);
    const tls = await loadTlsFiles(paths);
    expect(tls.identity).toMatchObject({ role: 'machine', name: 'web-1' });
    expect(tls.cert).toEqual(await fs.readFile(paths.cert));
    expect(tls.notBefore.getTime()).toBeLessThan(Date.now());
  });

  it('takes the intermediates in any order, with the root after them, and between other text', async () => {
    const paths = await chainFiles({ intermediates: 3 }, ({ root, leaf, intermediates }) => ({
      cert: ['subject=web-1', leaf, ...intermediates.toReversed(), root, ''].join('\n'),
    }));
    await expect(loadTlsFiles(paths)).resolves.toBeDefined();
  });

  it('takes an intermediate that stands beside the root, and not one that stands there alone', async () => {
    const beside = await chainFiles({}, ({ root, leaf, intermediates }) => ({
      cert: leaf,
      ca: [root, ...intermediates].join('\n'),
    }));
    await expect(loadTlsFiles(beside)).resolves.toBeDefined();
    const alone = await chainFiles({}, ({ leaf, intermediates }) => ({
      cert: leaf,
      ca: intermediates.join('\n'),
    }));
    await refusal(alone, 'ERR_CERTIFICATE_FILE', 'cert', /not issued by the CA/, /every intermediate after/);
  });

  it.each<[string, RegExp, RegExp, (chain: Awaited<ReturnType<typeof chainedCertificates>>) => Contents]>([
    [
      'an intermediate that is missing',
      /not issued by the CA/,
      /every intermediate/,
      ({ leaf }) => ({ cert: leaf }),
    ],
    [
      'one of two that is missing',
      /not issued by the CA/,
      /every intermediate/,
      ({ leaf, intermediates: [first = ''] }) => ({ cert: `${leaf}\n${first}` }),
    ],
    [
      'the intermediate before the certificate',
      /and it first/,
      /ca issue/,
      ({ leaf, intermediates }) => ({ cert: [...intermediates, leaf].join('\n') }),
    ],
    [
      'more than four',
      /more than 4 intermediate/,
      /leave out/,
      ({ root, leaf, intermediates }) => ({
        cert: [leaf, ...intermediates, root, root, root].join('\n'),
      }),
    ],
    ['the root of somebody else', /not issued by the CA/, /one CA/, () => ({ ca: foreign.pem })],
  ])('refuses %s', async (_what, text, hint, contents) => {
    await refusal(
      await chainFiles({ intermediates: 2 }, contents),
      'ERR_CERTIFICATE_FILE',
      'cert',
      text,
      hint,
    );
  });

  it('refuses an intermediate of the right name and the wrong key', async () => {
    const other = await chainedCertificates();
    const paths = await chainFiles({}, ({ leaf }) => ({ cert: [leaf, ...other.intermediates].join('\n') }));
    await refusal(paths, 'ERR_CERTIFICATE_FILE', 'cert', /not issued by the CA/, /from one CA/);
  });

  it('refuses a certificate that a machine signed, which is no CA', async () => {
    const paths = await chainFiles({ intermediateIsCa: false });
    await refusal(paths, 'ERR_CERTIFICATE_FILE', 'cert', /exactly one certificate that is not a CA's/, /./);
  });

  it('refuses what rests on an expired intermediate', async () => {
    const paths = await chainFiles({ intermediateNotAfter: new Date(Date.now() - day) });
    await refusal(
      paths,
      'ERR_CERTIFICATE_FILE',
      'cert',
      /the CA that .* rests on expired on/,
      /replace the CA/,
    );
  });

  it.each<[ChainedCertificate, RegExp]>([
    [{ usages: [SERVER_AUTH] }, /not for clientAuth, which role machine needs/],
    [{ role: 'relay', usages: [CLIENT_AUTH] }, /not for serverAuth, which role relay needs/],
    [{ keys: 'RSA', rsaBits: 1_024 }, /RSA key of 1024 bits/],
  ])('refuses %j', async (made, text) => {
    await refusal(await chainFiles(made), 'ERR_CERTIFICATE_FILE', 'cert', text, /./);
  });

  it('takes one that does not say what it is for', async () => {
    await expect(loadTlsFiles(await chainFiles({ usages: [] }))).resolves.toBeDefined();
  });
});

describe('loadTlsFiles with key and certificate in one file', () => {
  async function oneFile(mode = 0o600): Promise<TlsPaths> {
    const { leaf, intermediates, key } = await chainedCertificates();
    const path = join(folder, 'machine.pem');
    await fs.writeFile(path, [key.toString(), leaf, ...intermediates, ''].join('\n'), { mode });
    await fs.chmod(path, mode);
    const ca = join(folder, 'ca.pem');
    await fs.writeFile(ca, (await chainedCertificates()).root);
    return { ca, cert: path, key: path };
  }

  it('reads both, and keeps the key out of what is sent', async () => {
    const { leaf, intermediates, root, key } = await chainedCertificates();
    const path = join(folder, 'machine.pem');
    await fs.writeFile(path, [leaf, key.toString(), ...intermediates].join('\n'), { mode: 0o600 });
    await fs.writeFile(join(folder, 'ca.pem'), root);
    const tls = await loadTlsFiles({ ca: join(folder, 'ca.pem'), cert: path, key: path });
    expect(tls.cert.toString()).toBe(`${[leaf, ...intermediates].join('\n')}\n`);
    expect(new X509Certificate(tls.cert).subject).toBe('CN=web-1');
    expect(tls.key.includes('PRIVATE KEY')).toBe(true);
  });

  it.each([0o640, 0o644, 0o660])('asks of it what a key needs: mode %o is refused', async (mode) => {
    const paths = await oneFile(mode);
    await refusal(paths, 'ERR_KEY_FILE', 'key', new RegExp(`mode 0${mode.toString(8)}`), /^chmod 600 /);
  });

  it('never shows half of a replacement', async () => {
    const [one, two] = [await chainedCertificates(), await chainedCertificates()];
    const path = join(folder, 'machine.pem');
    const ca = join(folder, 'ca.pem');
    await fs.writeFile(ca, [one.root, two.root].join('\n'));
    const put = async (made: typeof one): Promise<void> => {
      const text = [made.leaf, ...made.intermediates, made.key.toString()].join('\n');
      await fs.writeFile(`${path}.new`, text, { mode: 0o600 });
      await fs.rename(`${path}.new`, path);
    };
    await put(one);
    const done = new AbortController();
    const replacing = (async () => {
      for (let turn = 0; !done.signal.aborted; turn += 1) await put(turn % 2 === 0 ? two : one);
    })();
    try {
      for (let look = 0; look < 100; look += 1) await loadTlsFiles({ ca, cert: path, key: path });
    } finally {
      done.abort();
      await replacing;
    }
  });
});

it('does not wait for a pipe in place of a file', async () => {
  const paths = await files();
  await fs.rm(paths.key);
  execFileSync('mkfifo', ['-m', '600', paths.key]);
  await expect(loadTlsFiles(paths)).rejects.toMatchObject({
    code: 'ERR_KEY_FILE',
    message: expect.stringContaining('is not a file') as string,
  });
});
