import { expect, it } from 'vitest';

import { prepareCommand, promotionOrder } from '../../../../src/daemon/bind/promotion-order.ts';
import { evidenceOf, type Given } from '../../../support/evidence.ts';

const EPOCH = { number: 8, id: '00000000000000bb' };
const order = (given: Given) => promotionOrder('hastb', 'hasta', EPOCH, evidenceOf(given));

it.each([
  ['is silent', {}, { earlierGone: false, heardBefore: 10_000 }],
  ['is heard', { heardAt: { peerChannel: 9990 } }, { earlierGone: false, heardBefore: null }],
  ['is certainly dead', { certainDeathAt: 9500 }, { earlierGone: true, heardBefore: null }],
  ['was fenced', { fencedAt: 9500 }, { earlierGone: true, heardBefore: null }],
  [
    'was fenced and heard since',
    { fencedAt: 9500, heardAt: { adverts: 9900 } },
    { earlierGone: false, heardBefore: null },
  ],
] satisfies [string, Given, object][])(
  'of a peer that %s the engine is told whether somebody may still answer',
  (_what, given, told) => {
    expect(order(given)).toMatchObject(told);
  },
);

it('an engine is told only what is so', () => {
  expect(prepareCommand(order({}))).toEqual({
    type: 'prepare-primary',
    epoch: EPOCH,
    inSync: ['hastb'],
    heardBefore: 10_000,
  });
  expect(prepareCommand(order({ certainDeathAt: 9500 }))).toMatchObject({ earlierGone: true });
});

it('who takes a handover over has the releaser in sync', () => {
  expect(order({ trigger: { kind: 'handover', epoch: EPOCH } }).inSync).toEqual(['hasta', 'hastb']);
});
