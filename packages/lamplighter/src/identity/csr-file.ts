import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { usage } from './certificate-request.js';
import { MAX_CSR_LENGTH, newKeyAndCsr } from './csr.js';
import { makePrivateDirectory, writeFilesTogether } from './key-files.js';
import { isName } from './roles.js';

/**
 * Makes a key and the request for its certificate, for a CA that is not reached over the network: NAME.key (0600) and NAME.csr.
 * @param folder - made with mode 0700 when it is not there
 * @param name - the name the CA will give
 * @returns the path of the request
 * @throws LamplighterError ERR_USAGE for what is no name, ERR_FILE_EXISTS when a file is there, ERR_OUTPUT_FILE when they cannot be
 *   written; nothing is left behind
 */
export async function writeKeyAndCsr(folder: string, name: string): Promise<string> {
  if (!isName(name)) {
    throw usage('a name is 1 to 63 of a-z, 0-9, dot and hyphen, and begins with a letter or digit');
  }
  if (name === 'ca') throw usage('the name ca would take the place of the key of a CA');
  const csr = join(folder, `${name}.csr`);
  const { keyPem, csrPem } = await newKeyAndCsr(name);
  try {
    await makePrivateDirectory(folder);
    await writeFilesTogether([
      { path: join(folder, `${name}.key`), content: keyPem, mode: 0o600 },
      { path: csr, content: csrPem, mode: 0o644 },
    ]);
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    throw new LamplighterError('ERR_OUTPUT_FILE', `nothing can be written to ${folder}`, {
      hint: 'check that it is a directory and who may write to it',
      cause,
    });
  } finally {
    keyPem.fill(0);
  }
  return csr;
}

/**
 * Reads the file of a request. What it says is for `readCsr` to judge.
 * @throws LamplighterError ERR_CSR when it cannot be read, or is longer than any request
 */
export async function readCsrFile(path: string): Promise<string> {
  try {
    const file = await fs.open(path, 'r');
    try {
      const bytes = Buffer.alloc(MAX_CSR_LENGTH + 1);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
      if (bytesRead <= MAX_CSR_LENGTH) return bytes.toString('latin1', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new LamplighterError('ERR_CSR', `the request ${path} cannot be read`, {
      hint: 'check the path and who may read it, or make one with `lamplighter ca request`',
      cause,
    });
  }
  throw new LamplighterError('ERR_CSR', `the request ${path} is longer than ${MAX_CSR_LENGTH} bytes`);
}
