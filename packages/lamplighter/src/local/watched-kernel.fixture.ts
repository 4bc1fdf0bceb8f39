import type { FileHandle } from 'node:fs/promises';
import fs from 'node:fs/promises';
import { type Environment, systemEnvironment } from './environment.js';

/** The real device, and a note of every write that reached it. */
export function watchedKernel(options: { mostBytes?: number; failAfterBytes?: number } = {}) {
  const { mostBytes = Infinity, failAfterBytes = Infinity } = options;
  const writes: Uint8Array[] = [];
  let total = 0;
  const write =
    (handle: FileHandle) =>
    async (bytes: Uint8Array, offset: number, length: number): Promise<{ bytesWritten: number }> => {
      if (total >= failAfterBytes) throw Object.assign(new Error('EIO'), { code: 'EIO' });
      const { bytesWritten } = await handle.write(bytes, offset, Math.min(length, mostBytes), null);
      writes.push(bytes.slice(offset, offset + bytesWritten));
      total += bytesWritten;
      return { bytesWritten };
    };
  const open = async (path: string, flags: number) => {
    const handle = await fs.open(path, flags);
    return new Proxy(handle, {
      get: (target, key) => {
        if (key === 'write') return write(target);
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  };
  return { writes, environment: { ...systemEnvironment(), fs: { ...fs, open } } as Environment };
}
