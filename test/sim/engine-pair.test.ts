import { describe, expect, test } from 'vitest';
import { SimStory } from '../support/sim-story.ts';

const SEEDS = Number(process.env['SIM_SEEDS'] ?? 25);
const FROM = Number(process.env['SIM_FROM'] ?? 1);

describe.each(['memsync', 'fullsync'] as const)('a %s pair with random faults', (replication) => {
  test(
    `loses nothing that was acknowledged, and both disks end equal (${SEEDS} seeds)`,
    { timeout: 600_000 },
    async () => {
      for (let seed = FROM; seed < FROM + SEEDS; seed++) {
        const story = new SimStory(seed, { replication });
        await expect(
          story.run(8).catch((error: unknown) => {
            throw new Error(
              `seed ${seed}: ${error instanceof Error ? error.message : String(error)}\n${story.log.slice(-40).join('\n')}`,
            );
          }),
        ).resolves.toBeUndefined();
      }
    },
  );
});
