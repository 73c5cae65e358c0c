import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { mayPromote } from '../../src/model/decision.ts';
import { type Wishes, wantsPrimary } from '../../src/model/intent.ts';
import { evidenceOf, type Given } from '../support/evidence.ts';

interface Scenario {
  readonly name: string;
  readonly given: Given;
  readonly wishes?: Partial<Wishes>;
  readonly expect: {
    readonly answer: string;
    readonly reasons?: readonly string[];
    readonly retryInMs?: number;
    readonly wants?: boolean;
  };
}

const DIRECTORY = new URL('./scenarios/', import.meta.url);

for (const file of readdirSync(DIRECTORY).sort()) {
  describe(`scenarios of ${file}`, () => {
    const scenarios = parse(readFileSync(new URL(file, DIRECTORY), 'utf8')) as Scenario[];
    it.each(scenarios)('$name', (scenario) => {
      const evidence = evidenceOf(scenario.given);
      const verdict = mayPromote(evidence);
      const codes = verdict.reasons.map(({ rule, code }) => `${rule} ${code}`);
      expect(verdict.answer, codes.join(', ')).toBe(scenario.expect.answer);
      for (const reason of scenario.expect.reasons ?? []) expect(codes).toContain(reason);
      if (scenario.expect.retryInMs !== undefined) expect(verdict.retryInMs).toBe(scenario.expect.retryInMs);
      if (scenario.expect.wants !== undefined) {
        const wishes: Wishes = { advert: null, prefer: null, onHold: false, ...scenario.wishes };
        expect(wantsPrimary(evidence, wishes) !== null).toBe(scenario.expect.wants);
      }
    });
  });
}

it('gives the same verdict for the same evidence', () => {
  const evidence = evidenceOf({});
  expect(mayPromote(evidence)).toEqual(mayPromote(structuredClone(evidence)));
});

it('names a rule and a remedy in every reason', () => {
  const all = [
    {},
    { obstacles: ['/mnt is mounted'] },
    { members: [{ freshness: { kind: 'outdated' as const } }] },
    { released: true },
    { report: null, now: 9100 },
  ];
  for (const given of all) {
    for (const reason of mayPromote(evidenceOf(given)).reasons) {
      expect(reason.rule).toMatch(/^[A-F]\d?$/);
      expect(reason.text.length).toBeGreaterThan(10);
    }
  }
});
