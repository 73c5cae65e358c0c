import { describe, expect, it } from 'vitest';

import { type HandoverMember, handoverRecords, refusesHandover } from '../../../src/model/handover.ts';
import type { ResourceRecord } from '../../../src/model/record.ts';

const RECORD: ResourceRecord = {
  epoch: { number: 3, id: '00000000000000aa' },
  generations: { current: '0000000000000001', previous: '0000000000000000' },
  state: 'clean',
  primary: 'hasta',
  inSync: ['hasta', 'hastb'],
  released: false,
};
const RELEASED: ResourceRecord = { ...RECORD, released: true };

function member(resource: string, record: ResourceRecord | null): HandoverMember {
  return { resource, record };
}

describe('a handover', () => {
  it('takes the records of every member along', () => {
    expect(handoverRecords([member('disk1', RELEASED), member('disk2', RELEASED)])).toEqual({
      disk1: RELEASED,
      disk2: RELEASED,
    });
  });

  it('is called off when the release found that the peer lacks something', () => {
    expect(() => handoverRecords([member('disk1', RELEASED), member('disk2', RECORD)])).toThrow(
      /disk2: the peer lost the connection/,
    );
  });

  it('is accepted with the same epoch and history, released, and in sync', () => {
    expect(refusesHandover([member('disk1', RECORD)], { disk1: RELEASED }, 'hastb')).toBeNull();
  });

  it.each<[string, ResourceRecord | undefined, string]>([
    ['a member that was not mentioned', undefined, 'said nothing'],
    ['a member that was not released', RECORD, 'did not release'],
    [
      'a disk that the releaser does not call in sync',
      { ...RELEASED, inSync: ['hasta'] },
      'does not call hastb in sync',
    ],
    ['another epoch', { ...RELEASED, epoch: { number: 4, id: '00000000000000bb' } }, 'epochs differ'],
    [
      'a history that went on',
      { ...RELEASED, generations: { current: '0000000000000002', previous: '0000000000000001' } },
      'different histories',
    ],
  ])('refuses %s', (_what, theirs, why) => {
    expect(
      refusesHandover([member('disk1', RECORD)], theirs === undefined ? {} : { disk1: theirs }, 'hastb'),
    ).toContain(why);
  });

  it('refuses words that are no records at all', () => {
    for (const garbage of [null, undefined, 7, 'x', []]) {
      expect(refusesHandover([member('disk1', RECORD)], garbage, 'hastb')).toContain('said nothing');
    }
  });
});
