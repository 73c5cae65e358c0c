import { describe, expect, it } from 'vitest';

import { tellLost } from '../../../../src/daemon/bind/lost-member.ts';
import type { Member } from '../../../../src/daemon/bind/members.ts';

/** As far as is looked at. */
function member(running: boolean, state: 'failed' | 'opening' | 'init'): Member {
  const actor = { getSnapshot: () => ({ matches: (asked: string) => asked === state }) };
  const error = 'engine died: its thread ended with code 1';
  return { settings: { name: 'disk1' }, engine: { running }, actor, error } as unknown as Member;
}

function told(...members: Member[]): unknown[] {
  const events: unknown[] = [];
  tellLost({ send: (event) => void events.push(event) }, members);
  return events;
}

describe('a group', () => {
  it('is told of a member whose engine died', () => {
    expect(told(member(true, 'init'), member(false, 'failed'))).toEqual([
      { type: 'MEMBER.LOST', reason: 'disk1: engine died: its thread ended with code 1' },
    ]);
  });

  it('is not told of one that is being opened, that refused a command, or whose disk a person closed', () => {
    expect(told(member(false, 'opening'), member(true, 'failed'), member(false, 'init'))).toEqual([]);
  });
});
