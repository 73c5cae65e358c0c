import { describe, expect, it } from 'vitest';

import { compareAddresses } from '../../../src/model/address-order.ts';
import {
  announcementOf,
  advertIntervalMs,
  downIntervalMs,
  isGoodbye,
  goodbyeOf,
  standingOf,
  successionMs,
  willTimeOut,
} from '../../../src/model/election.ts';
import type { Candidate, ElectionSettings } from '../../../src/model/election.ts';
import { vrrpDownMs, vrrpPriority, vrrpSkewMs } from '../../../src/model/vrrp-timing.ts';

const carp: ElectionSettings = { protocol: 'carp', advbase: 1, advskew: 100, tieBreak: 'bsd' };
const vrrp: ElectionSettings = { protocol: 'vrrp3', priority: 100, intervalMs: 1000, downAdverts: 3 };
const candidate = (settings: ElectionSettings, change: Partial<Candidate> = {}): Candidate => ({
  settings,
  demotion: {},
  selfAddresses: ['10.0.0.5', 'fe80::5'],
  learnedMs: null,
  yieldsOwnership: false,
  ...change,
});

describe('the times of VRRP', () => {
  it.each([
    // Take-over of keepalived at priority 100 after a stop: 629 ms measured, 609 of them skew.
    [{ version: 2, priority: 100, activeMs: 1000 }, 609.375],
    [{ version: 3, priority: 100, activeMs: 100 }, 60.937],
    // In whole hundredths of a second there would be none.
    [{ version: 3, priority: 100, activeMs: 10 }, 6.093],
    [{ version: 2, priority: 255, activeMs: 1000 }, 3.906],
    [{ version: 2, priority: 1, activeMs: 5000 }, 996.093],
  ] as const)('give %j a skew of %f ms', (of, skewMs) => {
    expect(vrrpSkewMs(of)).toBe(skewMs);
    expect(vrrpDownMs({ ...of, downAdverts: 3 })).toBe(3 * of.activeMs + skewMs);
  });

  it('follow the pace that was learned, and the adverts that may be missed', () => {
    expect(downIntervalMs(candidate(vrrp))).toBe(3609.375);
    expect(downIntervalMs(candidate(vrrp, { learnedMs: 100 }))).toBe(360.937);
    expect(downIntervalMs(candidate({ ...vrrp, downAdverts: 5 }, { learnedMs: 100 }))).toBe(560.937);
    expect(successionMs(candidate(vrrp))).toBe(609.375);
    expect(successionMs(candidate(carp))).toBe(0);
  });
});

describe('a priority', () => {
  it.each([
    [100, 0, 100],
    [100, 30, 70],
    [100, 240, 1],
    [100, -30, 130],
    [200, -100, 254],
    [255, 240, 255],
  ])('of %i with demotion %i is %i', (base, demotion, effective) => {
    expect(vrrpPriority(base, demotion)).toBe(effective);
  });
});

describe('what a node says', () => {
  it('is its values with all contributions, and a good-bye that nobody else says', () => {
    expect(announcementOf(candidate(carp, { demotion: { a: 30, b: 20 } }))).toEqual({
      protocol: 'carp',
      advbase: 1,
      advskew: 150,
      demote: 0,
    });
    expect(advertIntervalMs(candidate(carp, { demotion: { a: 28 } }))).toBe(1500);
    const openbsd = candidate({ ...carp, tieBreak: 'openbsd' }, { demotion: { a: 30, b: -20 } });
    expect(announcementOf(openbsd)).toMatchObject({ advskew: 110, demote: 1 });
    for (const settings of [carp, vrrp]) {
      expect(isGoodbye(goodbyeOf(candidate(settings)))).toBe(true);
      expect(isGoodbye(announcementOf(candidate(settings, { demotion: { a: 9999 } })))).toBe(false);
    }
  });
});

describe('a heard advert', () => {
  const says = (advbase: number, advskew: number) =>
    ({ protocol: 'carp', advbase, advskew, demote: 0 }) as const;
  const prio = (priority: number) => ({ protocol: 'vrrp', priority, intervalMs: 1000 }) as const;
  const ucarp: ElectionSettings = { ...carp, tieBreak: 'ucarp' };

  it.each([
    [carp, says(1, 99), '10.0.0.9', 'better'],
    [carp, says(0, 255), '10.0.0.9', 'better'],
    [carp, says(1, 101), '10.0.0.9', 'worse'],
    [carp, says(2, 0), '10.0.0.9', 'worse'],
    [carp, says(1, 100), '10.0.0.9', 'yield'],
    [carp, says(1, 100), '10.0.0.1', 'yield'],
    // As ucarp compares on little-endian machines: 10.77.1.1 beats 10.77.0.2.
    [ucarp, says(1, 100), '10.0.1.1', 'yield'],
    [ucarp, says(1, 100), '10.0.0.6', 'insist'],
    [vrrp, prio(101), '10.0.0.1', 'better'],
    [vrrp, prio(99), '10.0.0.9', 'worse'],
    [vrrp, prio(100), '10.0.0.10', 'yield'],
    [vrrp, prio(100), '10.0.0.4', 'insist'],
    [vrrp, prio(100), 'fe80::6', 'yield'],
    [vrrp, prio(100), 'fe80::4', 'insist'],
    [vrrp, says(0, 1), '10.0.0.9', 'worse'],
    [carp, prio(255), '10.0.0.9', 'worse'],
  ] as const)('to %j: %j from %s is %s', (settings, heard, source, standing) => {
    expect(standingOf(candidate(settings), heard, source)).toBe(standing);
  });

  it('wins every tie against who does not know its own address', () => {
    for (const settings of [ucarp, vrrp]) {
      const lost = candidate(settings, { selfAddresses: [] });
      expect(standingOf(lost, announcementOf(lost), '10.0.0.1')).toBe('yield');
    }
  });

  it('of a CARP MASTER that is slower than our patience, or leaves, will be the last', () => {
    expect(willTimeOut(candidate(carp), says(3, 100))).toBe(false);
    expect(willTimeOut(candidate(carp), says(3, 101))).toBe(true);
    expect(willTimeOut(candidate(carp), says(255, 255))).toBe(true);
    expect(willTimeOut(candidate(vrrp), prio(0))).toBe(false);
  });
});

describe('addresses', () => {
  it.each([
    ['10.0.0.2', '10.0.0.10'],
    ['9.255.255.255', '10.0.0.0'],
    ['127.0.0.1', '224.0.0.18'],
    ['fe80::9', 'fe80::a'],
    ['::1', '1::'],
    ['fd00::1:0', 'fd00::1:0:0'],
    ['fe80::1%eth0', 'fe80::2%eth0'],
  ])('are compared as numbers: %s is lower than %s', (lower, higher) => {
    expect(compareAddresses(lower, higher)).toBeLessThan(0);
    expect(compareAddresses(higher, lower)).toBeGreaterThan(0);
    expect(compareAddresses(lower, lower)).toBe(0);
  });

  it('of different families, or that are none, are not told apart', () => {
    expect(compareAddresses('10.0.0.1', 'fe80::1')).toBe(0);
    expect(compareAddresses('host', '10.0.0.1')).toBe(0);
  });
});
