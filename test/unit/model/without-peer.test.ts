import { describe, expect, it } from 'vitest';

import type { HoldReason } from '../../../src/model/holds.ts';
import { aloneNeeds, cutOff, fenceToGoOn, type PrimaryView } from '../../../src/model/without-peer.ts';
import { evidenceOf, type Given } from '../../support/evidence.ts';

const SILENT: Given = { heardAt: { dataLink: 9000, peerChannel: 9000, adverts: 9000 } };
const ALIVE: Given = { heardAt: { peerChannel: 9990 } };
const MAINTENANCE: HoldReason = { code: 'maintenance', text: '', next: '' };
const LOST: PrimaryView['references'] = { lost: true, lostSince: () => true };
/** No majority after the peer fell silent, and not yet for long. */
const JUST_LOST = { lost: false, lostSince: (at: number) => at <= 9000 };

describe('a primary that reaches neither its peer nor its references', () => {
  const why = (given: Given, references = LOST, namesPeer = true): string | null =>
    cutOff({ evidence: evidenceOf(given), namesPeer, references });

  it('steps down, at once where the peer may take over, else when they are gone for a while', () => {
    expect(why(SILENT)).toBe('this node reaches neither its peer nor its references');
    expect(why(SILENT, JUST_LOST, true)).not.toBeNull();
    expect(why(SILENT, JUST_LOST, false)).toBeNull();
  });

  it('asks for a look that began after the silence', () => {
    expect(why(SILENT, { lost: true, lostSince: (at) => at > 9000 })).toBeNull();
  });

  it('stays while its peer is heard, where it has none, and in maintenance', () => {
    expect(why(ALIVE)).toBeNull();
    expect(why({ ...SILENT, peer: null })).toBeNull();
    expect(why({ ...SILENT, hold: MAINTENANCE })).toBeNull();
  });
});

describe('a primary under policy consistent', () => {
  const why = (given: Given, namesPeer = true): string | null =>
    fenceToGoOn({ evidence: evidenceOf({ policy: 'consistent', ...given }), namesPeer });

  it('has a silent or dead peer fenced that its record calls in sync', () => {
    expect(why(SILENT)).toBe('hasta is silent');
    expect(why({ ...SILENT, certainDeathAt: 9100 })).toBe('hasta is silent');
  });

  it('fences nobody who is heard, is fenced already, or has nothing to wait for', () => {
    expect(why(ALIVE)).toBeNull();
    expect(why({ ...SILENT, fencedAt: 9100 })).toBeNull();
    expect(why(SILENT, false)).toBeNull();
    expect(why({ ...SILENT, policy: 'available' })).toBeNull();
  });

  it('fences nobody while it may be cut off itself, or somebody works on the network', () => {
    expect(why({ ...SILENT, references: { configured: 2, reached: 1 } })).toBeNull();
    expect(why({ ...SILENT, references: { configured: 2, reached: 2 } })).not.toBeNull();
    expect(why({ ...SILENT, hold: MAINTENANCE })).toBeNull();
  });
});

it('what going on alone needs follows from policy and references', () => {
  const groups = [{ policy: 'consistent', resources: ['disk1'] }] as unknown as Parameters<
    typeof aloneNeeds
  >[0]['groups'];
  expect(aloneNeeds({ groups, references: ['10.0.0.1'] }, 'disk1')).toBe('fence');
  expect(aloneNeeds({ groups, references: ['10.0.0.1'] }, 'disk2')).toBe('references');
  expect(aloneNeeds({ groups, references: [] }, 'disk2')).toBe('silence');
});
