import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const alias = {
  '@lamplighter/native': fileURLToPath(new URL('packages/native/src/index.ts', import.meta.url)),
  '@lamplighter/core': fileURLToPath(new URL('packages/core/src/index.ts', import.meta.url)),
};

export default defineConfig({
  test: {
    // Vitest takes one core fewer than there are; most of these tests wait for sockets and children.
    maxWorkers: 2,
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          sequence: { groupOrder: 0 },
          include: ['packages/*/src/**/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'e2e',
          sequence: { groupOrder: 1 },
          maxWorkers: 2,
          include: ['e2e/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          // Two files at a time: most of their time is waiting.
          // Real processes on a shared machine: one second chance, and only there; vitest names who needed it.
          retry: process.env['CI'] === undefined ? 0 : 1,
        },
      },
    ],
  },
});
