/** `policy: consistent`: nobody goes on, and nobody takes over, before the other node is certainly down. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { groupOf, type LabDaemon, resourceOf } from '../support/daemon.ts';
import { codesOf, journalOf, untilGone, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { Namespaces } from '../support/netns.ts';
import { eventually, StampedClients } from '../support/stamped-clients.ts';

/** Kills the daemon of the other node and says so when it is gone; a node that is off already is off. */
const KILL = `
pid=$(cat "$HASTATE_PARAM_PIDS/$HASTATE_PEER")
kill -9 "$pid" 2>/dev/null
until ! grep -q '^State:.[^ZX]' "/proc/$pid/status" 2>/dev/null; do sleep 0.05; done
echo "$pid is gone"`;

const said = async (daemon: LabDaemon, kind: string): Promise<string[]> =>
  (await journalOf(daemon)).filter((event) => event.kind === kind).map(({ message }) => message);

describe('under policy consistent', () => {
  let lab: Lab;
  let clients: StampedClients | null = null;
  let namespaces: Namespaces | null = null;

  const start = async (body: string): Promise<Readonly<Record<'hasta' | 'hastb', LabDaemon>>> => {
    const pids = join(lab.directory, 'pids');
    await mkdir(pids);
    await mkdir(join(lab.hooksDir, 'fence.d'));
    await lab.writeHook('fence.d/10-off', body);
    await lab.edit(lab.hastateYaml, (text) => text.replace('PIDS', pids));
    const pair = await lab.startPair();
    for (const daemon of Object.values(pair)) await writeFile(join(pids, daemon.node), String(daemon.pid));
    clients = new StampedClients([pair.hasta, pair.hastb]).start();
    await clients.more('hasta');
    return pair;
  };
  const confirmDown = (reason: string) =>
    lab.hastate('hastb', 'fence', 'hasta', '--confirm-down', '--reason', reason);
  const makeLab = (net?: Namespaces['net']): Promise<Lab> =>
    Lab.make({
      groups: [{ name: 'storage', resources: ['disk1'], more: ['policy: consistent'] }],
      yaml: ['fence: { delay: 500ms, hooks: { 10-off: { pids: PIDS } } }'],
      ...(net === undefined ? {} : { net }),
    });

  beforeEach(async () => {
    namespaces = null;
    lab = await makeLab();
  });
  afterEach(async () => {
    await clients?.stop();
    clients = null;
    await lab.close();
    await namespaces?.close();
  });

  it('a node that freezes is fenced, and only then the other one takes over', async () => {
    const { hasta, hastb } = await start(KILL);
    hasta.signal('SIGSTOP');
    await hastb.untilPrimary('storage');
    expect((await hasta.ended).signal).toBe('SIGKILL');
    await clients?.more('hastb');
    const story = (await journalOf(hastb)).flatMap(({ kind, message }) =>
      [kind, message].flatMap((text) => /^fence\.done$|promoting\.recording/.exec(text)?.[0] ?? []),
    );
    expect(story.slice(0, 2)).toEqual(['fence.done', 'promoting.recording']);
    expect(await said(hastb, 'fence.done')).toHaveLength(1);
    expect((await said(hastb, 'fence.started')).join()).toContain(
      'fencing hasta by 10-off: storage: the peer is gone',
    );
    hasta.start();
    await untilPaired({ primary: hastb, standby: hasta });
    await clients?.stop();
    expect(await clients?.lostOn(hastb)).toEqual([]);
  });

  it('a fence that does not succeed lets nobody take over, until a person says that the node is down', async () => {
    const { hasta, hastb } = await start('echo "no answer from the controller" >&2; exit 1');
    await hasta.kill();
    await untilGone(hastb, 'hasta');
    await eventually('told', async () => (await said(hastb, 'fence.failed')).length === 1);
    expect((await said(hastb, 'fence.failed')).join()).toContain(
      '10-off exited with 1: no answer from the controller',
    );
    expect(await codesOf(hastb)).toEqual(['policy-consistent']);
    expect(groupOf(await hastb.status(), 'storage').role).toBe('secondary');
    expect(await confirmDown('its plug is out')).toMatchObject({ code: 0, stdout: 'hasta is fenced\n' });
    await hastb.untilPrimary('storage');
    expect((await said(hastb, 'fence.confirmed')).join()).toContain('its plug is out');
    await clients?.more('hastb');
    await clients?.stop();
    expect(await clients?.lostOn(hastb)).toEqual([]);
  });

  it('a node that is heard cannot be said to be down', async () => {
    await start(KILL);
    const ran = await confirmDown('wrong');
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toMatch(/hasta was heard \d+ ms ago, so it is not down/);
  });

  it('a primary whose other node died does not answer a write before it is fenced', async () => {
    const { hasta, hastb } = await start('test -e "$HASTATE_PARAM_PIDS/go"');
    await hastb.kill();
    await eventually('tried', async () => (await said(hasta, 'fence.failed')).length > 0);
    await eventually('held', async () => resourceOf(await hasta.status(), 'disk1').held !== null);
    const heldAt = performance.now();
    const again = { node: 'hastb', reason: 'try again now' };
    await expect(hasta.request('fence', again, 20_000)).rejects.toThrow(/10-off exited with 1/);
    // Longer than the silence that is enough under another policy.
    await untilGone(hasta, 'hastb');
    expect(resourceOf(await hasta.status(), 'disk1').record?.inSync).toEqual(['hasta', 'hastb']);
    const letGoAt = performance.now();
    expect(clients?.answers.filter(({ submittedAt, at }) => submittedAt > heldAt && at < letGoAt)).toEqual(
      [],
    );
    await writeFile(join(lab.directory, 'pids', 'go'), '');
    await hasta.request('fence', again, 20_000);
    await hasta.until('alone', (s) => resourceOf(s, 'disk1').record?.inSync.length === 1);
    await clients?.more('hasta');
    expect(await clients?.lostOn(hasta)).toEqual([]);
  });

  it.skipIf(needs('root', 'netns', 'nft'))(
    'when neither hears the other, the primary has the first shot and nobody else ever serves',
    async () => {
      await lab.close();
      namespaces = await Namespaces.make();
      lab = await makeLab(namespaces.net);
      const { hasta, hastb } = await start(KILL);
      await namespaces.cutBoth('data0', 'peer0');
      expect((await hastb.ended).signal).toBe('SIGKILL');
      await hasta.until('alone', (s) => resourceOf(s, 'disk1').record?.inSync.length === 1);
      await clients?.more('hasta');
      await clients?.stop();
      expect(clients?.served()).toEqual(['hasta']);
      expect(await clients?.lostOn(hasta)).toEqual([]);
    },
  );
});
