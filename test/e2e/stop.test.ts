/** How a daemon ends: in order, in time, and with nothing of it left. */
import { readFile, readdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { groupOf, hastated, type LabDaemon } from '../support/daemon.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';

const ENDS_MS = 10_000;

/** Processes that this one started, and theirs. */
async function descendants(pid: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  const found = [pid];
  for (const parent of found) {
    for (const [child, its] of parents) if (its === parent) found.push(child);
  }
  return found.slice(1);
}

function alive(pids: readonly number[]): number[] {
  return pids.filter((pid) => existsSync(`/proc/${pid}`));
}

async function untilGone(pids: readonly number[]): Promise<void> {
  await eventually(`${pids.join(', ')} are gone`, () => alive(pids).length === 0, ENDS_MS);
}

describe.skipIf(process.platform !== 'linux' || needs('sh'))('a daemon', () => {
  let lab: Lab;
  let daemon: LabDaemon;
  beforeEach(async () => {
    lab = await Lab.make({
      groups: [{ name: 'storage', resources: ['disk1'], hooks: ['10-service'], address: true }],
    });
    await lab.writeHook('10-service', `echo "$1" >> ${join(lab.directory, 'calls')}`);
    daemon = lab.daemon('hasta');
  });
  afterEach(() => lab.close());

  it('ends on SIGTERM while it is primary, in order, without an error and without a process', async () => {
    await daemon.start().promoteAlone('storage');
    const family = await descendants(daemon.pid);
    expect(family.length).toBeGreaterThan(0);
    daemon.signal('SIGTERM');
    expect(await daemon.endsWithin(ENDS_MS)).toEqual({ code: 0, signal: null });
    expect(alive(family)).toEqual([]);
    expect(await readFile(join(lab.directory, 'calls'), 'utf8')).toBe('start\nstop\n');
    expect(await daemon.logged('error:')).toEqual([]);
    expect(existsSync(lab.places.hasta.control)).toBe(false);
    expect(existsSync(join(lab.places.hasta.stateDir, 'nbd', 'disk1.sock'))).toBe(false);
  });

  it('ends as well by hastate stop, and when who started it is gone', async () => {
    await daemon.start().untilRunning();
    expect((await lab.hastate('hasta', 'stop')).code).toBe(0);
    expect(await daemon.endsWithin(ENDS_MS)).toEqual({ code: 0, signal: null });
    await daemon.start().untilRunning();
    daemon.closeInput();
    expect(await daemon.endsWithin(ENDS_MS)).toEqual({ code: 0, signal: null });
  });

  it('answers already when it went to the background, and ends from there without a trace', async () => {
    const { control, stateDir } = lab.places.hasta;
    const files = ['-c', lab.hastConf, '-C', lab.hastateYaml, '-n', 'hasta'];
    expect(await hastated(...files, '--state-dir', stateDir)).toEqual({ code: 0, stdout: '', stderr: '' });
    const { pid } = await daemon.status();
    const family = [pid, ...(await descendants(pid))];
    try {
      expect(await readFile(join(stateDir, 'hastated.pid'), 'utf8')).toBe(`${pid}\n`);
      expect((await lab.hastate('hasta', 'stop')).code).toBe(0);
      await untilGone(family);
      expect([existsSync(control), existsSync(join(stateDir, 'hastated.pid'))]).toEqual([false, false]);
    } finally {
      for (const left of alive(family)) process.kill(left, 'SIGKILL');
    }
  });

  it('ends on SIGTERM while it is still starting', async () => {
    daemon.start();
    await daemon.until('answering', () => true);
    daemon.signal('SIGTERM');
    expect(await daemon.endsWithin(ENDS_MS)).toEqual({ code: 0, signal: null });
  });

  it('ends on SIGTERM while a hook hangs, when the hook has had its time', async () => {
    await lab.writeHook(
      '10-service',
      '# hastate: timeout=2s grace=1s\n[ "$1" = start ] || exit 0\nexec sleep 60',
    );
    await daemon.start().untilAlone();
    const promoting = daemon.request('promote', { group: 'storage', force: true, reason: 'a test' }, 20_000);
    promoting.catch(() => undefined);
    await daemon.until('in its hook', (s) => groupOf(s, 'storage').state === 'promoting.startingHooks');
    const family = await descendants(daemon.pid);
    daemon.signal('SIGTERM');
    expect(await daemon.endsWithin(ENDS_MS)).toEqual({ code: 0, signal: null });
    await untilGone(family);
  });

  it('leaves no keeper behind when it is killed', async () => {
    await daemon.start().promoteAlone('storage');
    const family = await descendants(daemon.pid);
    await daemon.kill();
    await untilGone(family);
  });
});
