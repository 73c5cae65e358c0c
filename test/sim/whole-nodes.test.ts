import { describe, expect, test } from 'vitest';
import { describeFault } from '../../src/simulate/faults.ts';
import { shrink, simulate, type SimulationOptions } from '../../src/simulate/simulate.ts';
import type { Outcome } from '../../src/simulate/world.ts';

/** More of them: SIM_SEEDS, SIM_FROM. */
const SEEDS = Number(process.env['SIM_SEEDS'] ?? 3);
const FROM = Number(process.env['SIM_FROM'] ?? 1);
/** Engines that go on alone at once; with this seed that meets a death which shows it. */
const WITHOUT_HOLD: SimulationOptions = {
  ...{ seed: 34, minutes: 0.2, kinds: ['power', 'network'] },
  rules: { engineTiming: { holdMs: 0 } },
};

describe('two whole nodes with random faults', () => {
  test(
    `lose nothing that was acknowledged, and are one again (${SEEDS} seeds)`,
    { timeout: 600_000 },
    async () => {
      for (let seed = FROM; seed < FROM + SEEDS; seed++) {
        const outcome = await simulate({ seed, minutes: 0.3 });
        expect(outcome.failure, story(seed, outcome)).toBeNull();
        expect(outcome.counts.written).toBeGreaterThan(100);
      }
    },
  );

  test('are the same run for the same seed', { timeout: 120_000 }, async () => {
    const once = await simulate({ seed: 11, minutes: 0.1 });
    const again = await simulate({ seed: 11, minutes: 0.1 });
    expect(again).toEqual(once);
  });

  test('lose a write without the hold of A3, which is told by few faults', { timeout: 300_000 }, async () => {
    const lost = await simulate(WITHOUT_HOLD);
    expect(lost.failure?.kind).toBe('loss');
    const { failure, faults, journal } = await shrink(lost, WITHOUT_HOLD);
    expect(failure?.kind).toBe('loss');
    expect(faults.length, faults.map(describeFault).join('; ')).toBeLessThan(lost.faults.length);
    expect(journal.some(({ message }) => message.includes('going on without'))).toBe(true);
  });

  test('lose nothing with the same seed and the hold', { timeout: 120_000 }, async () => {
    expect((await simulate({ ...WITHOUT_HOLD, rules: {} })).failure).toBeNull();
  });
});

function story(seed: number, { faults, journal }: Outcome): string {
  const told = journal.slice(-60).map(({ at, node, message }) => `${at.toFixed(0)} ${node}: ${message}`);
  return [`seed ${seed}`, ...faults.map(describeFault), ...told].join('\n');
}
