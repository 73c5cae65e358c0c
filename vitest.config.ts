import { defineConfig } from 'vitest/config';

/** Whole processes that need nothing that others have; no time of theirs is measured. */
const besideOthers = [
  'bad-input-*',
  'rules-off-data',
  'rules-off-groups',
  ...['as-hastd', 'encrypted-link', 'hastctl', 'nbd-clients', 'refused-peers', 'reload', 'verify'],
].join('|');

/** Suites that use network namespaces, ports, devices and whole processes: one file at a time, after the others. */
const oneAtATime = ['test/interop/!(hast-)*.test.ts', `test/e2e/!(${besideOthers}).test.ts`];

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: oneAtATime,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'real',
          include: oneAtATime,
          maxWorkers: 1,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
    coverage: {
      provider: 'v8',
      include: ['machines/**', 'src/**'],
      exclude: ['src/visualizer/page/**'],
      reporter: ['text-summary', 'html'],
    },
  },
});
