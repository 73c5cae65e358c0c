/** A hook that cannot run or does not end keeps its group down, says why, and is tried again. */
import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon } from '../support/daemon.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';

/** A hook that hangs never keeps the daemon from answering. */
const ANSWERS_MS = 900;
const GOOD = 'exit 0';
const HANGS = '# hastate: timeout=1s grace=1s\n[ "$1" = start ] || exit 0\nexec sleep 30';

describe.skipIf(needs('sh'))('a hook', () => {
  let lab: Lab;
  let daemon: LabDaemon;
  let hook: string;
  beforeEach(async () => {
    lab = await Lab.make({
      resources: ['disk1', 'disk2'],
      groups: [
        { name: 'one', resources: ['disk1'], hooks: ['10-service'], address: true },
        { name: 'two', resources: ['disk2'], address: true },
      ],
    });
    hook = join(lab.hooksDir, '10-service');
    daemon = lab.daemon('hasta');
  });
  afterEach(() => lab.close());

  it.each<[string, RegExp, () => Promise<unknown>, () => Promise<unknown>]>([
    [
      'is missing',
      /10-service of group one is not there; put an executable file at \S+10-service/,
      () => Promise.resolve(),
      () => lab.writeHook('10-service', GOOD),
    ],
    [
      'is not executable',
      /10-service is not executable; run: chmod 755 \S+10-service/,
      () => lab.writeHook('10-service', GOOD, 0o644),
      () => chmod(hook, 0o755),
    ],
    [
      'can be written by everybody',
      /10-service is writable by everybody, who could change what runs; run: chmod go-w \S+10-service/,
      () => lab.writeHook('10-service', GOOD, 0o777),
      () => chmod(hook, 0o755),
    ],
    [
      'hangs',
      /10-service start timed out after 1 s/,
      () => lab.writeHook('10-service', HANGS),
      () => lab.writeHook('10-service', GOOD),
    ],
    [
      'fails',
      /10-service start exited with 3: no license/,
      () => lab.writeHook('10-service', '[ "$1" = start ] || exit 0\necho "no license" >&2\nexit 3'),
      () => lab.writeHook('10-service', GOOD),
    ],
  ])('that %s keeps its group down and says why, until it is mended', async (_, why, wreck, mend) => {
    await wreck();
    await daemon.start().promoteAlone('two');
    const promoting = daemon.promoteAlone('one');
    const refused = expect(promoting).rejects.toThrow(why);
    const asked = performance.now();
    await daemon.status();
    expect(performance.now() - asked).toBeLessThan(ANSWERS_MS);
    await refused;
    const held = await daemon.until('holding', (s) => groupOf(s, 'one').state === 'holding', 20_000);
    expect(groupOf(held, 'one').role).toBe('secondary');
    expect(groupOf(held, 'one').address?.up).toBe(false);
    expect(groupOf(held, 'one').lastTransition).toMatch(why);
    expect(groupOf(held, 'two').state).toBe('primary.serving');
    // It holds off longer each time: a slow machine sees it then.
    await eventually(
      'the reason in `groups`',
      async () => why.test((await lab.hastate('hasta', 'groups')).stdout),
      30_000,
    );
    expect((await daemon.logged(why)).length).toBeGreaterThan(0);
    await mend();
    await daemon.untilPrimary('one', 20_000);
    expect((await daemon.stop()).code).toBe(0);
  });

  it('that is edited while it runs goes on as it began; the change is told and counts the next time', async () => {
    const go = join(lab.directory, 'go');
    const up = join(lab.directory, 'up');
    await lab.writeHook(
      '10-service',
      `touch ${up}\n[ "$1" != start ] || until [ -e ${go} ]; do sleep 0.02; done`,
    );
    await daemon.start().promoteAlone('two');
    const promoting = daemon.promoteAlone('one');
    await eventually('the hook runs', () => existsSync(up));
    await lab.writeHook('10-service', 'exit 1', 0o757);
    await eventually('the change is told', async () => {
      const told = await daemon.logged(/hook 10-service is changed and may not run: .*chmod go-w/);
      return told.length > 0;
    });
    await writeFile(go, '');
    await promoting;
    expect(groupOf(await daemon.status(), 'one').state).toBe('primary.serving');
    await chmod(hook, 0o755);
    await eventually('it is accepted', async () => {
      const told = await daemon.logged(/hook 10-service is changed and accepted: it applies to the next/);
      return told.length > 0;
    });
    expect((await daemon.stop()).code).toBe(0);
    expect(await daemon.logged(/10-service stop exited with 1/)).not.toEqual([]);
  });
});
