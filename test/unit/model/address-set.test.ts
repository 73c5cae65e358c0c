import { describe, expect, it } from 'vitest';

import { atThePaceOf, FOLLOW_MS, hasFollowed } from '../../../src/model/address-set.ts';
import type { ElectionSettings } from '../../../src/model/election.ts';

const carp = (advbase: number, advskew: number): ElectionSettings => ({
  protocol: 'carp',
  advbase,
  advskew,
  tieBreak: 'bsd',
});
const vrrp = (priority: number, intervalMs: number): ElectionSettings => ({
  protocol: 'vrrp2',
  priority,
  intervalMs,
  downAdverts: 3,
});

describe('a change of the address set under way', () => {
  const change = { forMs: 100, peerHas: null, weHave: 'new', heardNew: false };

  it.each([
    ['as long as the other node says that it has another', { peerHas: 'old', forMs: 10 * FOLLOW_MS }, false],
    ['even when somebody else on the segment has it', { peerHas: 'old', heardNew: true }, false],
    ['until the other node has it', { peerHas: 'new' }, true],
    ['until a foreign node was heard with it', { heardNew: true }, true],
    ['for a minute beside foreign nodes that say nothing', { forMs: FOLLOW_MS }, true],
    ['not less than a minute', { forMs: FOLLOW_MS - 1 }, false],
  ])('goes on %s', (_, words, followed) => {
    expect(hasFollowed({ ...change, ...words })).toBe(followed);
  });

  it('leaves the pace as it was, and takes the rest up at once', () => {
    expect(atThePaceOf(carp(1, 0), carp(10, 50))).toEqual(carp(1, 50));
    // Below a second the skew is the pace.
    expect(atThePaceOf(carp(0, 26), carp(1, 0))).toEqual(carp(0, 26));
    expect(atThePaceOf(carp(1, 0), carp(0, 26))).toEqual(carp(1, 0));
    expect(atThePaceOf(vrrp(100, 1000), vrrp(150, 3000))).toEqual(vrrp(150, 1000));
  });
});
