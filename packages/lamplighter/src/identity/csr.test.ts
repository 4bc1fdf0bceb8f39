import { execFile } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isFull, needs } from '../needs.fixture.js';
import { newKeyAndCsr, readCsr, refuseForeignNames } from './csr.js';

const run = promisify(execFile);

let folder = '';
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
});
afterEach(() => fs.rm(folder, { recursive: true }));

const refusal = (text: RegExp): object =>
  expect.objectContaining({ code: 'ERR_CSR', message: expect.stringMatching(text) as string }) as object;

/** A request made of DER. */
function pem(der: Uint8Array): string {
  return `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
}

describe('newKeyAndCsr', () => {
  it('makes a request without names for a key of its own', async () => {
    const { keyPem, csrPem, csrDer } = await newKeyAndCsr();
    const { spki, der, subjectNames } = await readCsr(csrPem);
    expect(subjectNames).toEqual([]);
    expect(der).toEqual(csrDer);
    const publicKey = createPublicKey(createPrivateKey(keyPem));
    expect(spki).toEqual(publicKey.export({ type: 'spki', format: 'der' }));
    expect(publicKey.asymmetricKeyType).toBe('ed25519');
  });

  it('makes another key each time', async () => {
    const [one, two] = [await newKeyAndCsr(), await newKeyAndCsr()];
    expect(one.keyPem).not.toEqual(two.keyPem);
  });

  it.each([1, 40, 63])('asks for a name of %d letters, the lengths of DER being right', async (length) => {
    const name = 'n'.repeat(length);
    const { csrPem } = await newKeyAndCsr(name);
    expect((await readCsr(csrPem)).subjectNames).toEqual([name]);
  });

  it('refuses what is no name', async () => {
    for (const name of ['', 'A', 'a/b', 'n'.repeat(64)]) {
      await expect(newKeyAndCsr(name)).rejects.toThrow(RangeError);
    }
  });
});

/** All of them in the full run; one after the other falls on every place in a byte. */
const BIT_STEP = isFull ? 1 : 9;

describe('readCsr', () => {
  it(
    'refuses every change of one bit in what is signed and in the signature',
    { timeout: 120_000 },
    async () => {
      const { csrPem, csrDer } = await newKeyAndCsr('victim');
      const { spki, subjectNames } = await readCsr(csrPem);
      // SEQUENCE { signed part, algorithm, BIT STRING }: from the algorithm to the count of unused bits nothing is signed.
      const signedEnd = csrDer.length - 64 - 3 - 7;
      for (let bit = 0; bit < csrDer.length * 8; bit += BIT_STEP) {
        const at = bit >> 3;
        const changed = Buffer.from(csrDer);
        changed[at] = (changed[at] ?? 0) ^ (1 << (bit & 7));
        const read = await readCsr(pem(changed)).catch((error: unknown) => error);
        if (at < signedEnd || at >= csrDer.length - 64 || read instanceof Error) {
          expect(read, `bit ${bit}`).toMatchObject({ code: 'ERR_CSR' });
        } else {
          // Another envelope at most, never another meaning.
          expect(read).toMatchObject({ spki, subjectNames });
        }
      }
    },
  );

  it('refuses a signature by another key', async () => {
    const [one, two] = [await newKeyAndCsr(), await newKeyAndCsr()];
    const mixed = Buffer.concat([one.csrDer.subarray(0, -64), two.csrDer.subarray(-64)]);
    await expect(readCsr(pem(mixed))).rejects.toEqual(refusal(/not signed by its own key/));
  });

  it('refuses two requests, text around one, and bytes after one', async () => {
    const [one, two] = [await newKeyAndCsr(), await newKeyAndCsr()];
    for (const text of [one.csrPem + two.csrPem, `hello\n${one.csrPem}`, `${one.csrPem}-----BEGIN`]) {
      await expect(readCsr(text)).rejects.toEqual(refusal(/one PEM block/));
    }
    for (const der of [Buffer.concat([one.csrDer, two.csrDer]), Buffer.concat([one.csrDer, Buffer.of(0)])]) {
      await expect(readCsr(pem(der))).rejects.toEqual(refusal(/one DER value/));
    }
  });

  it('refuses a request of 1 MiB before it looks inside', async () => {
    await expect(readCsr(pem(Buffer.alloc(1_048_576, 0x30)))).rejects.toEqual(refusal(/longer than 8192/));
    await expect(readCsr(' '.repeat(8_193))).rejects.toEqual(refusal(/longer than 8192/));
  });

  it('refuses garbage', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await expect(readCsr(pem(bytes))).rejects.toMatchObject({ code: 'ERR_CSR' });
        await expect(readCsr(Buffer.from(bytes).toString('latin1'))).rejects.toMatchObject({
          code: 'ERR_CSR',
        });
      }),
      { numRuns: 100 },
    );
    await expect(readCsr('')).rejects.toMatchObject({ code: 'ERR_CSR' });
  });
});

needs('openssl')('requests that openssl makes', () => {
  async function request(key: readonly string[], ...more: string[]): Promise<string> {
    const path = join(folder, 'key');
    await run('openssl', ['genpkey', ...key, '-out', path]);
    const { stdout } = await run('openssl', ['req', '-new', '-key', path, '-subj', '/', ...more]);
    return stdout;
  }

  const EC = ['-algorithm', 'EC', '-pkeyopt'];
  const RSA = ['-algorithm', 'RSA', '-pkeyopt'];

  it.each([
    ['-algorithm', 'ED25519'],
    [...EC, 'ec_paramgen_curve:P-256'],
    [...EC, 'ec_paramgen_curve:P-384'],
    [...RSA, 'rsa_keygen_bits:2048'],
  ])('are taken: %s %s %s', async (...key) => {
    const { spki } = await readCsr(await request(key));
    const { stdout } = await run('openssl', ['pkey', '-in', join(folder, 'key'), '-pubout']);
    expect(spki).toEqual(createPublicKey(stdout).export({ type: 'spki', format: 'der' }));
  });

  it.each([
    [...RSA, 'rsa_keygen_bits:1024'],
    [...RSA, 'rsa_keygen_bits:5120'],
    ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'],
    [...EC, 'ec_paramgen_curve:secp256k1'],
    [...EC, 'ec_paramgen_curve:P-521'],
    ['-algorithm', 'ED448'],
  ])('are refused: %s %s %s', async (...key) => {
    await expect(readCsr(await request(key))).rejects.toEqual(refusal(/none of Ed25519, P-256, P-384, RSA/));
  });

  it('are refused with a curve that is written out', async () => {
    const key = [...EC, 'ec_paramgen_curve:P-256', '-pkeyopt', 'ec_param_enc:explicit'];
    await expect(readCsr(await request(key))).rejects.toMatchObject({ code: 'ERR_CSR' });
  });

  it('are refused with SHA-1', async () => {
    const weak = await request([...EC, 'ec_paramgen_curve:P-256'], '-sha1');
    await expect(readCsr(weak)).rejects.toMatchObject({ code: 'ERR_CSR' });
  });

  it('are read as openssl reads ours', async () => {
    const { csrPem } = await newKeyAndCsr('web-1.x');
    await fs.writeFile(join(folder, 'csr'), csrPem);
    const { stdout, stderr } = await run('openssl', [
      'req',
      '-in',
      join(folder, 'csr'),
      '-noout',
      '-verify',
      '-text',
      '-nameopt',
      'RFC2253',
    ]);
    expect(stdout + stderr).toMatch(/verify OK|self-signature verify OK/i);
    expect(stdout).toContain('Subject: CN=web-1.x');
    expect(stdout).toContain('ED25519');
  });

  it('tell every name they ask for', async () => {
    const san = [
      'URI:lamplighter:admin/root',
      'DNS:a.example',
      'IP:192.0.2.1',
      'IP:2001:db8::1',
      'email:a@b.example',
      'RID:1.2.3',
    ].join(',');
    const csr = await request(
      ['-algorithm', 'ED25519'],
      '-subj',
      '/CN=one/CN=two/emailAddress=c@d.example',
      '-addext',
      `subjectAltName=${san}`,
    );
    const { subjectNames } = await readCsr(csr);
    expect(subjectNames.slice(0, 6)).toEqual([
      'one',
      'two',
      'c@d.example',
      'lamplighter:admin/root',
      'a.example',
      '192.0.2.1',
    ]);
    expect(subjectNames.slice(7)).toEqual(['a@b.example', 'id:1.2.3']);
    expect(subjectNames[6]).toMatch(/^2001:db8:/);
    for (const name of subjectNames) {
      expect(() => refuseForeignNames({ subjectNames: [name] }, { role: 'machine', name: 'three' })).toThrow(
        expect.objectContaining({ code: 'ERR_CSR_NAME' }) as Error,
      );
    }
  });
});

it('lets a request ask for what its holder gets anyway', () => {
  const holder = {
    role: 'relay',
    name: 'r1',
    dns: ['R1.example'],
    ip: ['192.0.2.1', '2001:db8::1'],
  } as const;
  const own = ['r1', 'lamplighter:relay/r1', 'r1.example', '192.0.2.1', '2001:DB8:0:0::1'];
  expect(() => refuseForeignNames({ subjectNames: own }, holder)).not.toThrow();
  for (const foreign of ['r2', 'lamplighter:admin/r1', 'r2.example', '192.0.2.2', '']) {
    expect(() => refuseForeignNames({ subjectNames: [...own, foreign] }, holder)).toThrow(
      expect.objectContaining({ code: 'ERR_CSR_NAME' }) as Error,
    );
  }
});
