import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * One file at a time, after the others: suites about times that other work would change, real peers with short adverts,
 * and devices that hang, which can make processes of others wait in the kernel, too.
 */
const alone = [
  'test/interop/{address,adverts,carp,certain,device,keepalived,link,vrrp}-*.test.ts',
  'test/e2e/{address,device,story}-*.test.ts',
  'test/e2e/{failover-keeper,local-faults,rules-off-devices}.test.ts',
  'test/e2e/{client-link,demo,failover-crash,failover-freeze,hooks-zfs}.test.ts',
];

/** What takes longest begins first, or one worker would end with it while the other has nothing to do. */
const LONGEST = ['test/interop/hast-faults', 'test/e2e/rules-off-data', 'test/interop/hast-secondary'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const found = LONGEST.findIndex((part) => moduleId.includes(part));
      return found === -1 ? LONGEST.length : found;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'beside',
          include: ['test/**/*.test.ts'],
          exclude: alone,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          include: alone,
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
