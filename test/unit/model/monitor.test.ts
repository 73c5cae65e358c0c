import { describe, expect, it } from 'vitest';

import { afterLook, STARTED_SERVICE } from '../../../src/model/monitor.ts';
import type { MonitorSettings, ServiceRemedy } from '../../../src/model/monitor.ts';

const settings: MonitorSettings = {
  intervalMs: 1000,
  timeoutMs: 1000,
  rise: 2,
  fall: 3,
  restarts: 2,
  withinMs: 60_000,
};

/** `.` is a good look, `x` a bad one; each a second after the last. What came of each is the same way one letter. */
function story(looks: string, changes: Partial<MonitorSettings> = {}, secondsApart = 1) {
  const LETTERS: Readonly<Record<ServiceRemedy, string>> = { none: '-', restart: 'R', leave: 'L' };
  let record = STARTED_SERVICE;
  let told = '';
  let well = '';
  looks.split('').forEach((look, index) => {
    const after = afterLook(record, look === '.', index * secondsApart * 1000, { ...settings, ...changes });
    record = after.record;
    told += LETTERS[after.remedy];
    well += record.well ? 'w' : 'f';
  });
  return { told, well };
}

describe('a watched service', () => {
  it.each([
    ['is left alone while it is well', '....', '----'],
    ['is left alone when bad looks do not follow each other', 'xx.xx.xx.', '---------'],
    ['is restarted after `fall` bad looks', 'xxx', '--R'],
    ['gets `fall` looks after a restart before the next', 'xxxxxx', '--R--R'],
    ['makes its group leave once the budget is spent', 'xxxxxxxxx', '--R--R--L'],
    ['makes it try again to leave while it stays failed', 'xxxxxxxxxxxx', '--R--R--L--L'],
  ])('%s', (_, looks, told) => {
    expect(story(looks).told).toBe(told);
  });

  it('is well again only after `rise` good looks in a row', () => {
    expect(story('xxx.x.x..').well).toBe('wwffffffw');
  });

  it('makes its group leave at once where no restart is allowed', () => {
    expect(story('xxx', { restarts: 0 }).told).toBe('--L');
  });

  it('gets its budget back when the window has passed', () => {
    // A bad look every 25 s: the first restart is older than the window when the third is due.
    expect(story('xxxxxx', { fall: 1 }, 25).told).toBe('RRLRRL');
  });
});
