/** Services that die or hang under hooks that are asked for their status. */
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon } from '../support/daemon.ts';
import { journalOf, untilPaired } from '../support/failover.ts';
import { FAULTY_DISK_NEEDS, FaultyDisk } from '../support/faulty-disk.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';

const MONITOR = 'interval: 100ms, timeout: 5s, fall: 2, within: 10m';

describe.skipIf(needs('sh'))('a watched service', () => {
  let lab: Lab;
  afterEach(() => lab.close());

  const at = (node: string, what: string): string => join(lab.directory, `${what}.${node}`);

  /** Runs while `up.NODE` is there; `broken.NODE` keeps it down. Every call of a hook is a line of `calls`. */
  async function make(monitor: string, status = '[ -e up.$n ]', more: readonly string[] = []) {
    lab = await Lab.make({
      groups: [
        {
          name: 'storage',
          resources: ['disk1'],
          hooks: ['20-base', '50-service'],
          more: [`monitor: { ${MONITOR}, ${monitor} }`, ...more],
        },
      ],
    });
    const begin = `cd ${lab.directory} || exit 1; n=$HASTATE_NODE\necho "$HASTATE_VERB \${0##*/} $n" >>calls`;
    await lab.writeHook('20-base', `# hastate: verbs=start,stop\n${begin}`);
    await lab.writeHook(
      '50-service',
      `# hastate: verbs=start,stop,status grace=1s
${begin}
[ ! -e running.$n ] || ! kill -0 "$(cat running.$n)" 2>/dev/null || echo "two at once" >>overlap
echo $$ >running.$n
case $1 in
start) [ -e broken.$n ] || touch up.$n ;;
stop) rm -f up.$n ;;
status) ${status} ;;
esac
rc=$?; rm -f running.$n; exit $rc`,
    );
  }

  const calls = async (): Promise<string[]> =>
    (await readFile(join(lab.directory, 'calls'), 'utf8').catch(() => '')).split('\n').filter(Boolean);
  const kindsOf = async (daemon: LabDaemon): Promise<string[]> =>
    (await journalOf(daemon)).map(({ kind }) => kind);

  it('that dies is stopped and started, alone, and its group stays where it is', async () => {
    await make('restarts: 3');
    const { hasta } = await lab.startPair();
    await rm(at('hasta', 'up'));
    await eventually('the service runs again', async () => (await kindsOf(hasta)).includes('service.well'));
    expect(existsSync(at('hasta', 'up'))).toBe(true);
    expect((await calls()).filter((call) => !call.startsWith('status'))).toEqual([
      ...['start 20-base hasta', 'start 50-service hasta'],
      ...['stop 50-service hasta', 'start 50-service hasta'],
    ]);
    expect(groupOf(await hasta.status(), 'storage').state).toBe('primary.serving');
    expect(existsSync(join(lab.directory, 'overlap'))).toBe(false);
  });

  it('that does not come up again moves to the other node, and back only when it is well there', async () => {
    await make('restarts: 1');
    const { hasta, hastb } = await lab.startPair();
    await writeFile(at('hasta', 'broken'), '');
    await rm(at('hasta', 'up'));
    await hastb.untilPrimary('storage');
    await untilPaired({ primary: hastb, standby: hasta });
    const restarts = (await kindsOf(hasta)).filter((kind) => kind === 'service.restarting');
    expect(restarts).toHaveLength(1);
    // Now it fails there, too: the group does not bounce.
    await writeFile(at('hastb', 'broken'), '');
    await rm(at('hastb', 'up'));
    const stays =
      /storage: service 50-service failed and the group stays here: hasta is not well for it either/;
    const status = await hastb.until('staying', ({ warnings }) => warnings.some((line) => stays.test(line)));
    expect(groupOf(status, 'storage').state).toBe('primary.serving');
    // Mended, it is found to run, and nothing is left to be said.
    await writeFile(at('hastb', 'up'), '');
    await hastb.until('well', ({ warnings }) => !warnings.some((line) => stays.test(line)));
    expect(existsSync(join(lab.directory, 'overlap'))).toBe(false);
  });

  it('stays with a person under policy manual', async () => {
    await make('restarts: 0', undefined, ['policy: manual']);
    const hasta = lab.daemon('hasta').start();
    await hasta.promoteAlone('storage');
    await writeFile(at('hasta', 'broken'), '');
    await rm(at('hasta', 'up'));
    const { warnings } = await hasta.until('staying', (s) =>
      s.warnings.some((w) => w.includes('stays here')),
    );
    expect(warnings.join('\n')).toContain('policy manual leaves it to a person');
    expect(groupOf(await hasta.status(), 'storage').state).toBe('primary.serving');
  });

  it('whose status hangs counts as failed, is ended with all its processes, and holds no transition up', async () => {
    // The shell's child leaves the process group and ignores TERM.
    const hang = '[ ! -e hang.$n ] || { trap "" TERM; setsid sleep 1000 & echo $! >child; wait; }';
    await make('restarts: 0, hooks: { 50-service: { timeout: 1500ms } }', hang);
    const { hasta, hastb } = await lab.startPair();
    await writeFile(at('hasta', 'hang'), '');
    await hastb.untilPrimary('storage');
    const child = (await readFile(join(lab.directory, 'child'), 'utf8')).trim();
    expect(child).toMatch(/^\d+$/);
    // A zombie may wait to be reaped; it holds nothing.
    const stat = await readFile(`/proc/${child}/stat`, 'utf8').catch(() => 'gone) Z');
    expect(stat.slice(stat.lastIndexOf(')') + 2)).toMatch(/^Z/);
    expect(existsSync(join(lab.directory, 'overlap'))).toBe(false);
    const [failed] = (await journalOf(hasta)).filter(({ kind }) => kind === 'service.failed');
    expect(failed?.message).toMatch(/50-service failed: status timed out after 1.5 s and was ended/);
  });

  it.skipIf(needs(...FAULTY_DISK_NEEDS))(
    'whose status survives SIGKILL lets no other hook begin, and the other node takes over',
    { timeout: 60_000 },
    async () => {
      const disk = await FaultyDisk.make();
      try {
        const hang = `[ ! -e hang.$n ] || { echo $$ >hanging; exec cat ${disk.path}; }`;
        await make('restarts: 0, hooks: { 50-service: { timeout: 500ms } }', hang);
        const { hasta, hastb } = await lab.startPair();
        disk.hang();
        await writeFile(at('hasta', 'hang'), '');
        await hastb.untilPrimary('storage');
        await hasta.until('stuck', (status) => groupOf(status, 'storage').state === 'stuck');
        const [told] = (await journalOf(hasta)).filter(({ kind }) => kind === 'hook.stuck');
        expect(told?.message).toMatch(
          /no hook is run with 'stop': hook 50-service status was killed, and some of its processes/,
        );
        expect((await calls()).filter((call) => call.startsWith('stop'))).toEqual([]);
      } finally {
        await disk.close();
      }
    },
  );
});
