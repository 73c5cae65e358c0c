/** A disk that cannot be used stops its own group, tells why, and nothing else. */
import { copyFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { groupOf, resourceOf } from '../support/daemon.ts';
import { Lab, makeDisk } from '../support/lab.ts';
import type { ResourceStatus } from '../../src/protocol/control.ts';

const MIB = 1024 * 1024;

describe('a disk that cannot be used', () => {
  let lab: Lab;
  let disk: string;
  beforeEach(async () => {
    lab = await Lab.make({
      resources: ['disk1', 'disk2'],
      groups: [
        { name: 'one', resources: ['disk1'], address: true },
        { name: 'two', resources: ['disk2'], address: true },
      ],
    });
    disk = lab.places.hasta.disk('disk1');
  });
  afterEach(() => lab.close());

  it.each<[string, RegExp, () => Promise<void>]>([
    [
      'has metadata of another resource',
      /it is part of resource disk2; correct 'local' in hast\.conf/,
      () => copyFile(lab.places.hasta.disk('disk2'), disk),
    ],
    ['was never created', /was "hastate create" run\?/, () => makeDisk(disk, 8)],
    [
      'holds something else',
      /was "hastate create" run\?/,
      () => writeFile(disk, Buffer.alloc(8 * MIB, 0xa5)),
    ],
    [
      'became smaller than it was created',
      /has 4194304 bytes and was created with 8388608; give it that size again/,
      () => truncate(disk, 4 * MIB),
    ],
    ['has no room for metadata', /has 1024 bytes; HAST needs at least \d+/, () => truncate(disk, 1024)],
    ['is missing', /does not exist|no such file/i, () => rm(disk)],
  ])(
    'is named with its remedy wherever one looks, and the other group goes on: it %s',
    async (_, why, wreck) => {
      await wreck();
      const daemon = lab.daemon('hasta').start();
      await daemon.promoteAlone('two');

      const status = await daemon.status();
      expect(groupOf(status, 'two').state).toBe('primary.serving');
      expect(resourceOf(status, 'disk2').error).toBeNull();
      const error = resourceOf(status, 'disk1').error ?? '';
      expect(error).toMatch(why);
      expect(error).toContain(disk);
      expect(groupOf(status, 'one')).toMatchObject({
        role: 'secondary',
        badge: expect.stringMatching(/^blocked: disk1: /) as string,
      });
      expect(groupOf(status, 'one').badge).toMatch(why);

      const [list, whyNot, role] = await Promise.all([
        lab.hastate('hasta', 'list', '--json', 'disk1'),
        lab.hastate('hasta', 'why-not', 'one'),
        lab.hastate('hasta', 'role', 'primary', 'disk1'),
      ]);
      expect((JSON.parse(list.stdout) as ResourceStatus[])[0]?.error).toBe(error);
      expect(whyNot.stdout).toMatch(why);
      expect(whyNot.stdout).not.toContain('next: hastate promote');
      expect(role.code).not.toBe(0);
      expect(role.stderr).toMatch(why);
      expect(await daemon.logged('disk1 cannot be used')).toHaveLength(2);
      expect((await daemon.stop()).code).toBe(0);
    },
  );

  it('is not asked for a role: an operator who forces is told the same', async () => {
    await rm(disk);
    const daemon = lab.daemon('hasta').start();
    await daemon.untilRunning();
    await expect(daemon.request('promote', { group: 'one', force: true, reason: 'try' })).rejects.toThrow(
      /repair this disk first/,
    );
  });

  it('is used again by itself when it is back', async () => {
    await rename(disk, `${disk}.away`);
    const daemon = lab.daemon('hasta').start();
    await daemon.until('telling of the disk', (status) => resourceOf(status, 'disk1').error !== null);
    await rename(`${disk}.away`, disk);
    await daemon.until('well', (status) => groupOf(status, 'one').state === 'standby.waiting');
    expect(resourceOf(await daemon.status(), 'disk1').error).toBeNull();
    await daemon.promoteAlone('one');
  });

  it('does not fill the log while it is tried again and again', async () => {
    await rm(disk);
    const daemon = lab.daemon('hasta').start();
    const tries = new Set<number>();
    await daemon.until('tried four times', ({ charts }) => {
      const chart = charts.find(({ id }) => id === 'resource.disk1');
      if (chart?.value === 'opening') tries.add(performance.now() - chart.sinceMs);
      return countApart(tries) >= 3;
    });
    // Of the resource, of its group, and the group's two states: each once.
    expect(await daemon.logged('disk1 cannot be used')).toHaveLength(2);
    expect(await daemon.logged('group.one: ')).toHaveLength(2);
  });
});

/** Moments more than 100 ms apart. */
function countApart(moments: ReadonlySet<number>): number {
  const sorted = [...moments].sort((a, b) => a - b);
  return sorted.filter((at, index) => index === 0 || at - (sorted[index - 1] ?? 0) > 100).length;
}
