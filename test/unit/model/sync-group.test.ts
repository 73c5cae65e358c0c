import { describe, expect, it } from 'vitest';

import { ownFault, SYNC_FAULT, syncFaults, syncTurn } from '../../../src/model/sync-group.ts';
import type { SyncMember } from '../../../src/model/sync-group.ts';

const member = (name: string, state: SyncMember['state'], fault: string | null = null): SyncMember => ({
  name,
  state,
  fault,
});

describe('a sync group', () => {
  it('is elected with the first of its members, those that wait', () => {
    const members = [
      member('a', 'MASTER'),
      member('b', 'BACKUP'),
      member('c', 'INIT'),
      member('d', 'MASTER'),
    ];
    expect(syncTurn(members, 'a', 'MASTER')).toEqual([{ to: 'b', order: 'lead', by: 'a' }]);
  });

  it('is not elected while one of them is at fault', () => {
    const members = [member('a', 'MASTER'), member('b', 'BACKUP'), member('c', 'INIT', 'ping gateway')];
    expect(syncTurn(members, 'a', 'MASTER')).toEqual([]);
  });

  it('is lost with the first that loses', () => {
    const members = [member('a', 'BACKUP'), member('b', 'MASTER'), member('c', 'BACKUP')];
    expect(syncTurn(members, 'a', 'BACKUP')).toEqual([{ to: 'b', order: 'yield', by: 'a' }]);
    expect(syncTurn(members, 'a', 'INIT')).toEqual([]);
  });

  it('has the fault of any of its members, and is rid of it with that one', () => {
    const members = [member('a', 'INIT', 'interface eth1'), member('b', 'MASTER')];
    expect(syncFaults(members, 'a')).toEqual([{ to: 'b', order: 'fault', by: 'a' }]);
    expect(syncFaults([member('a', 'INIT'), member('b', 'INIT')], 'a')).toEqual([
      { to: 'b', order: 'fault-over', by: 'a' },
    ]);
    expect(syncFaults(members, 'x')).toEqual([]);
  });

  it('names the own fault of a member before that of another', () => {
    expect(ownFault([`${SYNC_FAULT}b`, 'file /f'])).toBe('file /f');
    expect(ownFault([`${SYNC_FAULT}b`])).toBe('sync group: b');
    expect(ownFault([])).toBeNull();
  });
});
