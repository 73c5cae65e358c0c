/** The Handbook's story: UFS on one disk, moved from node to node. FreeBSD's commands are stand-ins that note their calls. */
import { chmod, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

import { NODES, type LabDaemon, type LabNode } from '../support/daemon.ts';
import { untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';

const SHIPPED = fileURLToPath(new URL('../../hooks/', import.meta.url));
const STAND_INS = fileURLToPath(new URL('../fixtures/hooks/freebsd/', import.meta.url));

describe('UFS on two nodes', () => {
  let lab: Lab;
  afterEach(() => lab.close());

  it('is checked and mounted where the disk is primary, and unmounted before it is not, in exactly this order', async () => {
    lab = await Lab.make({
      groups: [{ name: 'storage', resources: ['disk1'], address: true, more: ['UFS'] }],
    });
    await layOut(lab);
    const { hasta, hastb } = await lab.startPair();
    const up = (node: LabNode) => [
      'fsck_ffs -p /dev/null',
      `mount -t ufs -o rw /dev/null ${mountOf(lab, node)}`,
    ];
    const down = (node: LabNode) => ['sync', `umount ${mountOf(lab, node)}`];
    expect(await callsOf(lab)).toEqual(noted('hasta', up('hasta')));

    await move(hasta, hastb);
    const there = [...noted('hasta', [...up('hasta'), ...down('hasta')]), ...noted('hastb', up('hastb'))];
    expect(await callsOf(lab)).toEqual(there);

    await move(hastb, hasta);
    const back = [...there, ...noted('hastb', down('hastb')), ...noted('hasta', up('hasta'))];
    expect(await callsOf(lab)).toEqual(back);

    await untilPaired({ primary: hasta, standby: hastb });
    await hasta.kill();
    await hastb.untilPrimary('storage');
    expect(await callsOf(lab)).toEqual([...back, ...noted('hastb', up('hastb'))]);
  });
});

async function move(from: LabDaemon, to: LabDaemon): Promise<void> {
  await untilPaired({ primary: from, standby: to });
  await from.request('switchover', { group: 'storage', to: to.node }, 20_000);
  await to.untilPrimary('storage');
}

function mountOf(lab: Lab, node: LabNode): string {
  return join(lab.directory, node, 'mnt');
}

/** Each with the name of the node that it was called on. */
async function callsOf(lab: Lab): Promise<string[]> {
  return (await readFile(join(lab.directory, 'calls'), 'utf8')).trimEnd().split('\n');
}

function noted(node: LabNode, calls: readonly string[]): string[] {
  return calls.map((call) => `${node}: ${call}`);
}

/** The shipped hook with the stand-ins before it on the path; both nodes' calls go to one file, as they come. */
async function layOut(lab: Lab): Promise<void> {
  const shipped = join(lab.hooksDir, 'shipped');
  await cp(SHIPPED, shipped, { recursive: true });
  const commands = join(lab.directory, 'commands');
  await cp(STAND_INS, commands, { recursive: true });
  for (const name of ['fsck_ffs', 'mount', 'umount', 'sync']) {
    const text = await readFile(join(commands, name), 'utf8');
    const calls = join(lab.directory, 'calls');
    await writeFile(
      join(commands, name),
      text
        .replace(/echo "(.*)" >>"\$FAKE\/calls"/, `echo "$HASTATE_NODE: $1" >>${calls}`)
        .replace('echo sync >>"$FAKE/calls"', `echo "$HASTATE_NODE: sync" >>${calls}`),
    );
    await chmod(join(commands, name), 0o755);
  }
  for (const node of NODES) {
    await mkdir(mountOf(lab, node));
    await mkdir(join(lab.directory, node, 'fake'));
    await writeFile(join(lab.directory, node, 'fake', 'fsck_ffs.codes'), '0\n');
  }
  await lab.writeHook(
    '20-ufs',
    `FAKE=${lab.directory}/$HASTATE_NODE/fake PATH=${commands}:$PATH
export FAKE PATH
exec ${shipped}/20-ufs "$@"`,
  );
  const mounts = NODES.map((node) => `${node}: ${mountOf(lab, node)}`).join(', ');
  const hooks = ['hooks:', '  20-ufs:', '    device: /dev/null', `    mountpoint: { ${mounts} }`];
  await lab.edit(lab.hastateYaml, (text) =>
    text.replace('    UFS', hooks.map((line) => `    ${line}`).join('\n')),
  );
}
