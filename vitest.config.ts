import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const alias = {
  '@lamplighter/native': fileURLToPath(new URL('packages/native/src/index.ts', import.meta.url)),
  '@lamplighter/core': fileURLToPath(new URL('packages/core/src/index.ts', import.meta.url)),
};

// Real processes and sockets on a shared machine: one second chance, and only there; vitest names who needed it.
const retry = process.env['CI'] === undefined ? 0 : 1;

export default defineConfig({
  test: {
    maxWorkers: 3,
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          sequence: { groupOrder: 0 },
          // Many wait for a child, a socket or a deadline: with as many as there are cores one is often idle.
          maxWorkers: 3,
          include: ['packages/*/src/**/*.test.ts'],
          testTimeout: 20_000,
          retry,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'e2e',
          sequence: { groupOrder: 1 },
          maxWorkers: 3,
          include: ['e2e/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          // Three files at a time: most of their time is waiting, two cores were half idle with two.
          retry,
        },
      },
    ],
  },
});
