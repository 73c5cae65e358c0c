import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { AdvertiserNotes } from '../../../../src/daemon/bind/advertiser-notes.ts';
import { Journal } from '../../../../src/daemon/journal.ts';

const settings = { vhid: 7, interface: 'eth0', addresses: ['10.0.0.9/24'] };
const lost = { from: 'MASTER', to: 'BACKUP', reason: 'equal master' } as const;

describe('what an advertiser tells', () => {
  let directory: string;
  let journal: Journal;
  let notes: AdvertiserNotes;
  const lines: string[] = [];
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-notes-'));
    lines.length = 0;
    const log = (level: string, message: string): void => {
      if (level !== 'debug') lines.push(message);
    };
    journal = new Journal({ node: 'hasta', stateDir: directory, now: () => 0, log });
    notes = new AdvertiserNotes(journal, 'storage', false);
  });
  afterEach(async () => {
    await journal.close();
    await rm(directory, { recursive: true, force: true });
  });

  it.each([
    ['carp', 'vhid', 'advskew'],
    ['vrrp3', 'vrid', 'priority'],
  ] as const)('explains once that another MASTER of %s is exactly as good', (protocol, id, number) => {
    for (let n = 0; n < 3; n += 1) notes.state({ ...settings, protocol }, lost);
    const told = lines.filter((line) => line.includes('exactly as good'));
    expect(told).toEqual([
      `storage: another MASTER of ${id} 7 is exactly as good as this node: give one of them another ${number}`,
    ]);
    expect(lines).toHaveLength(4);
  });

  it('says once why an address does not go up, however often that is tried', () => {
    const failed = { change: 'add-failed', error: 'no virtual MAC: not permitted' } as const;
    for (let n = 0; n < 3; n += 1) notes.address(settings, failed);
    expect(lines).toEqual([
      'storage: 10.0.0.9/24 add-failed on eth0: no virtual MAC: not permitted; it is tried again',
    ]);
  });
});
