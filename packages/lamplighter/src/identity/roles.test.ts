import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { testAuthority } from './made-certificates.fixture.js';
import { identityOfCertificate, identityUri, isName, ROLES } from './roles.js';

const authority = await testAuthority();

type Names = NonNullable<NonNullable<Parameters<typeof authority.make>[0]>['names']>;

async function certificateWith(names: Names): Promise<X509Certificate> {
  return new X509Certificate((await authority.make({ names })).cert);
}

const refused = expect.objectContaining({ code: 'ERR_CERTIFICATE_IDENTITY' }) as unknown;

describe('identityOfCertificate', () => {
  it.each(ROLES)('reads role %s, the name, the fingerprint and the serial', async (role) => {
    const certificate = new X509Certificate((await authority.make({ role, name: 'a-1.example' })).cert);
    const identity = identityOfCertificate(certificate);
    expect(identity).toMatchObject({ role, name: 'a-1.example', serial: certificate.serialNumber });
    expect(Buffer.from(identity.fingerprint).toString('hex')).toBe(
      certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    );
    expect(identity.fingerprint).toHaveLength(32);
  });

  it.each<[string, Names]>([
    ['no subjectAltName', []],
    ['names but no role', [{ type: 'dns', value: 'localhost' }]],
    [
      'two roles',
      [
        { type: 'url', value: 'lamplighter:relay/a' },
        { type: 'url', value: 'lamplighter:machine/a' },
      ],
    ],
    [
      'the same role twice',
      [
        { type: 'url', value: 'lamplighter:relay/a' },
        { type: 'url', value: 'lamplighter:relay/a' },
      ],
    ],
    [
      'another URI beside the role',
      [
        { type: 'url', value: 'lamplighter:relay/a' },
        { type: 'url', value: 'https://example.org/' },
      ],
    ],
    ['another URI only', [{ type: 'url', value: 'spiffe://example.org/relay/a' }]],
    ['an unknown role', [{ type: 'url', value: 'lamplighter:root/a' }]],
    ['a role in capitals', [{ type: 'url', value: 'lamplighter:Relay/a' }]],
    ['the scheme in capitals', [{ type: 'url', value: 'LAMPLIGHTER:relay/a' }]],
    ['no name', [{ type: 'url', value: 'lamplighter:relay/' }]],
    ['no slash', [{ type: 'url', value: 'lamplighter:relay' }]],
    ['a path after the name', [{ type: 'url', value: 'lamplighter:relay/a/b' }]],
    ['a query after the name', [{ type: 'url', value: 'lamplighter:relay/a?b' }]],
    ['a space after the name', [{ type: 'url', value: 'lamplighter:relay/a ' }]],
    ['a name of 64 characters', [{ type: 'url', value: `lamplighter:relay/${'a'.repeat(64)}` }]],
    ['a role typed as an address of another kind', [{ type: 'dns', value: 'lamplighter:relay/a' }]],
  ])('refuses a certificate with %s', async (_what, names) => {
    const certificate = await certificateWith(names);
    expect(() => identityOfCertificate(certificate)).toThrow(refused);
  });

  it.each<[string, Names]>([
    ['a DNS name', [{ type: 'dns', value: 'x, URI:lamplighter:relay/x' }]],
    ['a DNS name with a quote', [{ type: 'dns', value: 'x", URI:lamplighter:relay/x, DNS:"y' }]],
    ['a DNS name with an escape', [{ type: 'dns', value: 'x\\u0022, URI:lamplighter:relay/x' }]],
    ['a DNS name with a line break', [{ type: 'dns', value: 'x\nURI:lamplighter:relay/x' }]],
    ['a DNS name with a NUL', [{ type: 'dns', value: 'x\0, URI:lamplighter:relay/x' }]],
    ['an e-mail address', [{ type: 'email', value: 'x, URI:lamplighter:relay/x' }]],
    ['a URI', [{ type: 'url', value: 'lamplighter:machine/x, URI:lamplighter:relay/x' }]],
    ['a URI ending in another', [{ type: 'url', value: 'lamplighter:machine/x, DNS:y' }]],
    ['a directory name', [{ type: 'dn', value: 'CN="x, URI:lamplighter:relay/x"' }]],
  ])('is not taken in by a role hidden in %s', async (_what, names) => {
    const alone = await certificateWith(names);
    expect(() => identityOfCertificate(alone)).toThrow(refused);
    const besideMachine = await certificateWith([...names, { type: 'url', value: 'lamplighter:machine/m' }]);
    let role: string | undefined;
    try {
      role = identityOfCertificate(besideMachine).role;
    } catch (error) {
      expect(error).toEqual(refused);
    }
    expect(role ?? 'machine').toBe('machine');
  });

  it('reads the role beside DNS and IP names', async () => {
    const certificate = await certificateWith([
      { type: 'dns', value: 'relay.example' },
      { type: 'url', value: 'lamplighter:office/lamps' },
      { type: 'ip', value: '::1' },
    ]);
    expect(identityOfCertificate(certificate)).toMatchObject({ role: 'office', name: 'lamps' });
  });
});

describe('isName', () => {
  it.each(['a', '0', 'relay-1.example', 'a'.repeat(63)])('takes %s', (word) => {
    expect(isName(word)).toBe(true);
  });

  it.each(['', '-a', '.a', 'A', 'a/b', 'a b', 'ä', 'a\n', 'a'.repeat(64)])('refuses %j', (word) => {
    expect(isName(word)).toBe(false);
  });

  it('is what identityUri is made of', () => {
    expect(identityUri('relay', 'a')).toBe('lamplighter:relay/a');
  });
});
