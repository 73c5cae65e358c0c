import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { RULES, runScenario, type Scenario } from '../support/scenarios/scenario.ts';

const DIRECTORY = new URL('./scenarios/', import.meta.url);

const files = readdirSync(DIRECTORY)
  .sort()
  .map((file) => ({
    file,
    byRule: parse(readFileSync(new URL(file, DIRECTORY), 'utf8')) as Record<string, Scenario[]>,
  }));
const counts = new Map<string, number>();

for (const { file, byRule } of files) {
  describe(file, () => {
    for (const [rule, scenarios] of Object.entries(byRule)) {
      counts.set(rule, (counts.get(rule) ?? 0) + scenarios.length);
      describe(`rule ${rule}`, () => {
        it.each(scenarios)('$name', runScenario);
      });
    }
  });
}

describe('the scenarios together', () => {
  it('have each rule that something pure decides, and none that nobody knows', () => {
    const covered = [...counts].map(([rule, count]) => `${rule} ${count}`).sort();
    process.stdout.write(`scenarios by rule: ${covered.join(', ')}\n`);
    expect([...counts.keys()].sort()).toEqual([...RULES].sort());
  });

  it('are at least 150, and no two have the same name', () => {
    const names = files.flatMap(({ byRule }) =>
      Object.values(byRule).flatMap((s) => s.map(({ name }) => name)),
    );
    expect(names.length).toBeGreaterThanOrEqual(150);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });
});
