/** A web server and an iSCSI target on two machines, asked at the shared address by a third one. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { LabNode } from '../support/daemon.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';
import { SHARED_ADDRESS, STORY_NEEDS, StoryPair } from '../support/story-pair.ts';
import { note, STORY_MS } from '../support/story-table.ts';
import { machineNow } from '../support/timeline.ts';

const STORY = 'nginx and tgt';
const TARGET = 'iqn.2024-01.org.example:storage';
const DISK = `iscsi://${SHARED_ADDRESS}:3260/${TARGET}/1`;
const WAIT_MS = 60_000;

describe.skipIf(needs(...STORY_NEEDS, 'mkfs.ext4', 'nginx', 'tgtd', 'tgtadm', 'iscsi-ls', 'qemu-io', 'curl'))(
  'a web server and an iSCSI target on two machines',
  () => {
    let pair: StoryPair;

    beforeAll(async () => {
      pair = await StoryPair.start({
        resources: ['disk1', 'disk2'],
        diskMiB: 32,
        ownHooks: {
          '10-mkfs':
            '[ "$1" != start ] || blkid "$HASTATE_DEVICE_DISK1" >/dev/null || exec mkfs.ext4 -q -F "$HASTATE_DEVICE_DISK1"',
          '30-page': `[ "$1" != start ] || [ -e "$HASTATE_PARAM_ROOT/index.html" ] || {
    mkdir "$HASTATE_PARAM_ROOT" && echo 'from the disk' >"$HASTATE_PARAM_ROOT/index.html" && sync
}`,
          '31-conf': `[ "$1" != start ] || cat >"$HASTATE_PARAM_CONF" <<END
pid $HASTATE_PARAM_CONF.pid; error_log $HASTATE_PARAM_CONF.log; user root; events {}
http { access_log off; client_body_temp_path $HASTATE_PARAM_CONF.body;
  server { listen 80; add_header X-Node $HASTATE_NODE; location / { root $HASTATE_PARAM_ROOT; } } }
END`,
        },
        hooks: (perNode, directory) => {
          const nginx = (more: string): string =>
            `{ ${(['hasta', 'hastb'] as const)
              .map((node) => {
                const conf = join(directory, node, 'run/nginx.conf');
                return `${node}: 'nginx -c ${conf} -e ${conf}.log${more}'`;
              })
              .join(', ')} }`;
          return [
            '10-mkfs: {}',
            ...['20-ext4:', '  resource: disk1', `  mountpoint: ${perNode('mnt')}`],
            ...['30-page:', `  root: ${perNode('mnt/web')}`],
            ...['31-conf:', `  conf: ${perNode('run/nginx.conf')}`, `  root: ${perNode('mnt/web')}`],
            ...['50-service:', `  start-command: ${nginx('')}`, `  stop-command: ${nginx(' -s quit')}`],
            '  port: 80',
            ...['60-iscsi-tgt:', '  resource: disk2', `  target: ${TARGET}`, '  start-tgtd: yes'],
          ];
        },
      });
    }, STORY_MS);
    afterAll(() => pair.close(), STORY_MS);

    const ask = (...command: readonly string[]) => pair.bridge.in('middle', ...command);
    const page = (): Promise<string> =>
      ask('curl', '-sS', '-m', '2', '-D', '-', `http://${SHARED_ADDRESS}/`).catch(String);
    /** When a client had the page from that node. ms of the machine's clock */
    const served = async (node: LabNode): Promise<number> => {
      await eventually(
        `the page of ${node}`,
        async () => (await page()).includes(`X-Node: ${node}`),
        WAIT_MS,
      );
      expect(await page()).toContain('from the disk');
      return machineNow();
    };
    const disk = (...commands: readonly string[]): Promise<string> =>
      ask('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), DISK);
    const tellsTarget = async (): Promise<void> =>
      eventually(
        'the target',
        async () => (await ask('iscsi-ls', `iscsi://${SHARED_ADDRESS}`).catch(String)).includes(TARGET),
        WAIT_MS,
      );

    it(
      'are found at the shared address with what was written, after a crash and after a switchover',
      { timeout: STORY_MS },
      async () => {
        await served('hasta');
        await tellsTarget();
        await disk('write -P 0xa5 0 1M', 'flush');

        const crashedAt = await pair.crash('hasta');
        const there = await served('hastb');
        note({
          story: STORY,
          what: 'crash to the page at the other machine',
          value: there - crashedAt,
        });
        await tellsTarget();
        expect(await disk('read -P 0xa5 0 1M')).toContain('read 1048576/1048576');
        await disk('write -P 0x5a 4M 1M', 'flush');
        await pair.reboot('hasta');
        await pair.untilPaired('hastb');

        const askedAt = machineNow();
        await pair.switchover('hasta');
        const back = await served('hasta');
        note({ story: STORY, what: 'switchover to the page at the other machine', value: back - askedAt });
        await tellsTarget();
        const read = await disk('read -P 0xa5 0 1M', 'read -P 0x5a 4M 1M');
        expect(read).not.toContain('Pattern verification failed');
        expect(read.match(/read 1048576\/1048576/g)).toHaveLength(2);
      },
    );
  },
);
