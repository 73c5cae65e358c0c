/** A simulation of one seed, and the fewest of its faults that still break what they broke. */
import { describeError } from '../model/errors.ts';
import { drawFaults, FAULT_KINDS, type Fault, type FaultKind } from './faults.ts';
import { SimRandom } from './sim-clock.ts';
import { type Outcome, type Rules, World } from './world.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Of virtual time. */
  readonly minutes: number;
  readonly kinds?: readonly FaultKind[];
  readonly rules?: Rules;
}

const MINUTE_MS = 60_000;
/** Runs that shrinking may take. */
const MOST_RUNS = 60;

export async function simulate({
  seed,
  minutes,
  kinds = FAULT_KINDS,
  rules,
}: SimulationOptions): Promise<Outcome> {
  const forMs = minutes * MINUTE_MS;
  return runFaults(seed, drawFaults(new SimRandom(seed), kinds, forMs), forMs, rules);
}

async function runFaults(
  seed: number,
  faults: readonly Fault[],
  forMs: number,
  rules: Rules | undefined,
): Promise<Outcome> {
  try {
    return await new World(seed, rules).run(faults, forMs);
  } catch (error) {
    const failure = { kind: 'crash' as const, text: describeError(error) };
    const counts = { written: 0, flushed: 0, turns: 0 };
    return { failure, splitReported: false, counts, faults, tookMs: 0, journal: [] };
  }
}

/** @param failed an outcome with a failure. @returns an outcome with the same kind of failure and no fault to spare */
export async function shrink(failed: Outcome, { seed, minutes, rules }: SimulationOptions): Promise<Outcome> {
  let best = failed;
  let runs = 0;
  const attempt = async (faults: readonly Fault[]): Promise<boolean> => {
    if (runs++ >= MOST_RUNS) return false;
    const outcome = await runFaults(seed, faults, minutes * MINUTE_MS, rules);
    if (outcome.failure?.kind !== failed.failure?.kind) return false;
    best = outcome;
    return true;
  };
  // What comes after the failure had no part in it.
  await attempt(failed.faults.filter(({ at }) => at <= failed.tookMs));
  for (let size = Math.ceil(best.faults.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.faults.length;) {
      const { faults } = best;
      if (!(await attempt([...faults.slice(0, from), ...faults.slice(from + size)]))) from += size;
    }
  }
  return best;
}
