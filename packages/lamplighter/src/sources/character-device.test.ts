import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { openCharacterDevice } from './character-device.js';

const environment = systemEnvironment();

/** Children of ours that are there. */
const children = (): number =>
  readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
        return (
          stat.slice(stat.lastIndexOf(')')).split(' ')[2] === String(process.pid) && stat.includes('(cat)')
        );
      } catch {
        return false;
      }
    }).length;

async function open(file: string) {
  const stream = await openCharacterDevice(file, environment);
  if (stream === undefined) throw new Error('in use');
  return stream;
}

describe('a character device', () => {
  it('ends where the device does, after all was written', async () => {
    const stream = await open('/dev/null');
    stream.resume();
    stream.end(Buffer.alloc(200_000));
    await once(stream, 'close');
    expect(stream.errored).toBe(null);
    expect(children()).toBe(0);
  });

  it('is read no faster than its reader likes, and let go of when it is destroyed', async () => {
    const stream = await open('/dev/zero');
    const [chunk] = (await once(stream, 'data')) as [Buffer];
    expect(chunk.every((byte) => byte === 0)).toBe(true);
    stream.pause();
    for (let i = 0; i < 20; i += 1) await new Promise(setImmediate);
    expect(stream.readableLength).toBeLessThan(300_000);
    expect(children()).toBe(2);
    stream.destroy();
    await once(stream, 'close');
    expect(children()).toBe(0);
  });

  it('fails when the child that writes does', async () => {
    const stream = await open('/dev/full');
    stream.on('error', () => undefined);
    stream.write('x');
    await new Promise((resolve) => {
      stream.once('close', resolve);
    });
    expect(stream.errored).toMatchObject({ code: 'ERR_CHILD_FAILED' });
    expect(children()).toBe(0);
  });

  it('is neither missing nor a file', async () => {
    await expect(open('/dev/no-such-device')).rejects.toMatchObject({ code: 'ERR_SOURCE_ABSENT' });
    const file = fileURLToPath(import.meta.url);
    await expect(open(file)).rejects.toMatchObject({
      code: 'ERR_DEVICE',
      message: `${file} is no character device`,
    });
  });
});
