import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { loadAgentConfig } from './config-file.js';

const CONFIG = {
  tls: { ca: 'ca.pem', cert: 'web.pem', key: '/elsewhere/web.key' },
  relays: [{ name: 'relay-1', url: 'https://relay-1.example' }],
  pollen: [
    { name: 'pollen-1', url: 'https://entropy.example/', ca: 'pollen/ca.pem' },
    { name: 'pollen-2', url: 'http://entropy.example/' },
  ],
  authority: { url: 'https://ca.example', peer: 'ca' },
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-agent-config-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function load(name: string, text: string): ReturnType<typeof loadAgentConfig> {
  await writeFile(join(folder, name), text);
  return await loadAgentConfig(systemEnvironment(), join(folder, name));
}

describe('an agent’s configuration', () => {
  it.each([
    ['agent.json', JSON.stringify(CONFIG)],
    ['agent.yaml', `# a comment keeps the quick decoder away\n${JSON.stringify(CONFIG)}`],
  ])('%s has its paths made absolute, and no others made up', async (name, text) => {
    const config = await load(name, text);
    expect(config.tls).toMatchObject({ ca: join(folder, 'ca.pem'), key: '/elsewhere/web.key' });
    expect(config.pollen).toEqual([
      { name: 'pollen-1', url: 'https://entropy.example/', ca: join(folder, 'pollen/ca.pem') },
      { name: 'pollen-2', url: 'http://entropy.example/' },
    ]);
    expect(config.authority).toEqual({ url: 'https://ca.example', peer: 'ca' });
  });

  it('has no name twice, also not a pollen server’s that is a relay’s', async () => {
    const [pollen] = CONFIG.pollen;
    const twice = { ...CONFIG, pollen: [{ ...pollen, name: 'relay-1' }] };
    await expect(load('agent.json', JSON.stringify(twice))).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(/pollen.*0.*name.*'relay-1' is used twice/s) as string,
    });
    const odd = { ...CONFIG, pollen: [{ ...pollen, url: 'entropy.example' }] };
    await expect(load('agent.json', JSON.stringify(odd))).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(/pollen.*url.*no http:\/\/ or https:\/\/ URL/s) as string,
    });
  });
});
