import { expect, it } from 'vitest';

import { mayPromote } from '../../src/model/decision.ts';
import { evidenceOf } from '../support/evidence.ts';

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
