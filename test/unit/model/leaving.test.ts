import { expect, it } from 'vitest';

import { type LeaveCause, type LeaveFacts, staysBecause } from '../../../src/model/leaving.ts';

const FACTS: LeaveFacts = {
  policy: 'available',
  notReady: null,
  peer: 'hastb',
  words: { healthy: true, candidate: true },
};
const CAUSES: readonly LeaveCause[] = ['standby', 'unfit', 'service', 'failback'];
const stay = (change: Partial<LeaveFacts>): (string | null)[] =>
  CAUSES.map((cause) => staysBecause(cause, { ...FACTS, ...change }));

it('a group leaves a node that should not lead it when the other one can and is well', () => {
  expect(stay({})).toEqual([null, null, null, null]);
});

it('under policy manual only an operator who puts the node on standby moves it', () => {
  const person = 'policy manual leaves it to a person';
  expect(stay({ policy: 'manual' })).toEqual([null, person, person, person]);
});

it('it stays while the other node could not take it without loss, or is no better off', () => {
  expect(stay({ notReady: 'disk1: hastb is still resyncing' })).toEqual(
    Array(4).fill('disk1: hastb is still resyncing'),
  );
  for (const words of [null, { healthy: false, candidate: true }])
    expect(stay({ words })).toEqual(Array(4).fill('hastb is not well for it either'));
});

it('it goes back only to a node that wants it', () => {
  const words = { healthy: true, candidate: false };
  expect(stay({ words })).toEqual([null, null, null, 'hastb does not want it']);
});
