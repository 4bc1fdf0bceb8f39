// Thousands of machines, each with a key and a certificate of its own. One is issued by the product; the others are that one
// with another name, serial number and key, all of the same length, signed anew: 0.2 ms each.
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { LAMPLIGHTER } from './processes.mjs';

/** As long as every other name. */
const TEMPLATE_NAME = 'm-template';
const ED25519_KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
/** DER: a SEQUENCE with a length of two bytes, as every certificate of 256 to 65,535 bytes begins, and its first member too. */
const SEQUENCE_HEAD_BYTES = 4;

/**
 * What a process needs to make machines; can be sent to another.
 * @param {(name: string) => string} file a folder with a CA
 */
export function machineTemplate(file) {
  const issue = ['ca', 'issue', '--ca', file('ca'), '--out', file('template')];
  execFileSync(process.execPath, [LAMPLIGHTER, ...issue, '--role', 'machine', '--name', TEMPLATE_NAME]);
  return {
    ca: readFileSync(file('template/ca.pem'), 'latin1'),
    certificate: readFileSync(file(`template/${TEMPLATE_NAME}.pem`), 'latin1'),
    caKey: readFileSync(file('ca/ca.key'), 'latin1'),
  };
}

/**
 * A machine: where it is, and its side of mutual TLS.
 * @typedef {{ localAddress: string, tls: tls.SecureContext }} Machine
 */

/**
 * Makes machines number `from` to `from + count - 1`, each at a loopback address of its own.
 * @param {ReturnType<typeof machineTemplate>} template
 * @returns {Machine[]}
 */
export function makeMachines(template, from, count) {
  const caKey = createPrivateKey(template.caKey);
  const issued = new X509Certificate(template.certificate);
  return Array.from({ length: count }, (_, index) => {
    const number = from + index;
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const der = reissue(issued, `m-${String(number).padStart(8, '0')}`, publicKey, caKey);
    const secureContext = tls.createSecureContext({
      ca: template.ca,
      cert: pem('CERTIFICATE', der),
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      minVersion: 'TLSv1.3',
    });
    return { localAddress: addressOf(number), tls: secureContext };
  });
}

function reissue(issued, name, publicKey, caKey) {
  const der = Buffer.from(issued.raw);
  const replace = (/** @type {Buffer} */ old, /** @type {Buffer} */ by) => {
    let found = 0;
    for (let at = der.indexOf(old); at >= 0; at = der.indexOf(old, at + old.length)) {
      by.copy(der, at);
      found += 1;
    }
    if (found === 0 || by.length !== old.length) throw new Error('the template is not as expected');
  };
  const oldKey = rawKey(issued.publicKey);
  const newKey = rawKey(publicKey);
  replace(Buffer.from(TEMPLATE_NAME), Buffer.from(name));
  replace(Buffer.from(issued.serialNumber, 'hex'), serial(issued.serialNumber.length / 2));
  // The key identifier first: it is made of the key (RFC 5280, 4.2.1.2).
  replace(sha1(oldKey), sha1(newKey));
  replace(oldKey, newKey);
  const signed = der.subarray(SEQUENCE_HEAD_BYTES);
  const toBeSigned = signed.subarray(0, SEQUENCE_HEAD_BYTES + signed.readUInt16BE(2));
  sign(null, toBeSigned, caKey).copy(der, der.length - ED25519_SIGNATURE_BYTES);
  return der;
}

/** Positive, and its first byte not zero: as long as the one before. */
function serial(lengthBytes) {
  const bytes = randomBytes(lengthBytes);
  bytes[0] = (bytes[0] & 0x3f) | 0x40;
  return bytes;
}

const rawKey = (key) => key.export({ type: 'spki', format: 'der' }).subarray(-ED25519_KEY_BYTES);
const sha1 = (bytes) => createHash('sha1').update(bytes).digest();

const pem = (label, der) =>
  `-----BEGIN ${label}-----\n${der.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`;

/** 127.1.0.1 and on: each has ports of its own, and nobody is taken for another. */
const addressOf = (number) =>
  `127.${1 + Math.floor(number / 62_500)}.${Math.floor(number / 250) % 250}.${1 + (number % 250)}`;
