import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { StateNews } from '../../src/net/foreign-election.ts';
import { parseFifoLine, readFifo, startKeepalived, stateOf } from '../../src/net/keepalived-fifo.ts';
import { needs } from '../support/needs.ts';
import { SegmentLab } from '../support/segment-lab.ts';
import type { Side } from '../support/segment-lab.ts';

describe('a line of keepalived', () => {
  it.each([
    ['INSTANCE "VI 1" MASTER 150', { kind: 'INSTANCE', name: 'VI 1', state: 'MASTER', priority: 150 }],
    ['GROUP "G1" FAULT 0', { kind: 'GROUP', name: 'G1', state: 'FAULT', priority: 0 }],
    ['INSTANCE "VI_1" MASTER', null],
    ['anything', null],
  ])('%s', (line, message) => {
    expect(parseFifoLine(line)).toEqual(message);
  });

  it.each([
    ['MASTER', 'MASTER'],
    ['BACKUP', 'BACKUP'],
    ['FAULT', 'INIT'],
    ['STOP', 'INIT'],
    ['MASTER_PRIORITY', 'MASTER'],
    ['BACKUP_PRIORITY', 'BACKUP'],
    ['MASTER_RX_LOWER_PRI', null],
  ])('that says %s means %s', (word, state) => {
    expect(stateOf(word)).toBe(state);
  });
});

describe.skipIf(needs('root', 'netns', 'ip', 'keepalived'))(
  'two real keepalived, one with hastate behind it',
  () => {
    let lab: SegmentLab;
    beforeAll(async () => {
      lab = await SegmentLab.make();
    });
    afterAll(() => lab.close());

    async function keepalived(
      side: Side,
      priority: number,
      more: { global: string; instance: string },
    ): Promise<void> {
      const at = (name: string): string => join(lab.directory, `${side}-${name}`);
      const conf = `
      global_defs { router_id ${side}
        vrrp_version 3
        vrrp_notify_priority_changes true
        script_user root
        ${more.global.split('\n')[0] ?? ''} }
      ${more.global.split('\n').slice(1).join('\n')}
      vrrp_instance storage { state BACKUP
        interface lan0
        virtual_router_id 51
        priority ${priority}
        advert_int 0.2
        virtual_ipaddress { 10.77.0.100/24 }
        ${more.instance} }
    `;
      await writeFile(at('conf'), conf);
      lab.start(
        side,
        ...['keepalived', '-n', '-l', '-P', '-f', at('conf'), '-p', at('pid'), '-r', at('vrrp.pid')],
      );
    }

    it('hold back until the services run, and are heard by the pipe', async () => {
      const [fifo, trackFile] = [join(lab.directory, 'fifo'), join(lab.directory, 'track')];
      const news: StateNews[] = [];
      let look = (): void => undefined;
      const election = await startKeepalived({
        ...{ instance: 'storage', fifo, trackFile },
        onChange: (change) => {
          news.push(change);
          look();
        },
      });
      const becomes = async (state: string): Promise<void> => {
        await new Promise<void>((resolve) => {
          look = () => {
            if (election.state() === state) resolve();
          };
          look();
        });
      };
      expect((await stat(fifo)).mode & 0o777).toBe(0o600);
      expect(election.trouble()).toMatch(/not said anything about storage/);

      await keepalived('b', 100, { global: '', instance: '' });
      while (!(await lab.ip('b', 'address', 'show', 'lan0')).includes('10.77.0.100'));
      await keepalived('a', 150, {
        global: `vrrp_notify_fifo ${fifo}\ntrack_file hastate {\n file ${trackFile}\n weight -100\n }`,
        instance: 'track_file { hastate }',
      });
      await becomes('BACKUP');
      // Better by its own priority, but held back: the other keeps the address.
      expect(election.trouble()).toBeNull();

      await election.holdBack(false);
      await becomes('MASTER');
      expect(news.at(-1)).toMatchObject({ from: 'BACKUP', reason: 'keepalived says MASTER, priority 150' });

      await election.holdBack(true);
      await becomes('BACKUP');
      expect(election.counters()).toMatchObject({ master: 1 });
      await lab.endProcesses();
      await election.close();
      // Whoever has it open goes on to use it when we start again.
      expect((await stat(fifo)).isFIFO()).toBe(true);
    });

    it('are not listened to where a file is in the way of the pipe', async () => {
      const path = join(lab.directory, 'not-a-pipe');
      await writeFile(path, 'keep me');
      await expect(readFifo(path, () => undefined)).rejects.toMatchObject({ code: 'keepalived-fifo' });
    });
  },
);
