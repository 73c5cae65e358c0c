/** Other people's NBD clients ask the export of a real pair where it has holes. */
import { randomBytes } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { afterEach, describe, expect, it } from 'vitest';

import { connectNbd } from '../../src/device/nbd-initiator.ts';
import { resourceOf } from '../support/daemon.ts';
import { untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { seeded } from '../support/mutations.ts';
import { needs } from '../support/needs.ts';

const MIB = 1024 * 1024;
const BLOCK = 4096;
const DISK_MIB = 64;

interface Piece {
  readonly offset: number;
  readonly length: number;
  /** 3: a hole of zeros, 0: data. */
  readonly type: number;
}

describe.skipIf(needs('nbdinfo', 'nbdcopy', 'koffi') || process.platform !== 'linux')(
  'the holes of a pair’s export',
  () => {
    let lab: Lab;

    afterEach(() => lab.close());

    async function pair(): Promise<{ socket: string; uri: string; size: number }> {
      lab = await Lab.make({ diskMiB: DISK_MIB });
      const { hasta, hastb } = await lab.startPair();
      await untilPaired({ primary: hasta, standby: hastb });
      const { export: offered, datasize } = resourceOf(await hasta.status(), 'disk1');
      const socket = offered?.socket ?? '';
      return { socket, uri: `nbd+unix:///disk1?socket=${socket}`, size: datasize };
    }

    async function mapOf(uri: string): Promise<Piece[]> {
      return JSON.parse((await execa('nbdinfo', ['--map', '--json', uri])).stdout) as Piece[];
    }
    const holeBytes = (map: readonly Piece[]): number =>
      map.reduce((sum, { length, type }) => sum + (type === 3 ? length : 0), 0);

    it('stay holes when it is copied in and out again, without a look at the data', async () => {
      const { uri, size } = await pair();
      const [source, copy] = [join(lab.directory, 'source'), join(lab.directory, 'copy')];
      const file = await open(source, 'w');
      await file.truncate(size);
      for (const at of [0, 5, 12, 20]) await file.write(randomBytes(MIB), 0, MIB, at * MIB);
      await file.close();

      await execa('nbdcopy', ['--flush', '--sparse=0', source, uri]);
      // A hole of the disk begins where a page of its file does.
      expect(holeBytes(await mapOf(uri))).toBeGreaterThan(size - 4 * MIB - 8 * BLOCK);
      await execa('nbdcopy', ['--sparse=0', uri, copy]);

      expect((await readFile(copy)).equals(await readFile(source))).toBe(true);
      const used = (await stat(copy)).blocks * 512;
      expect(used).toBeGreaterThanOrEqual(4 * MIB);
      // nbdcopy takes whole requests of 256 KiB at both ends of a piece.
      expect(used).toBeLessThan(7 * MIB);
    });

    it('never hide a write that was acknowledged, and come back when they are punched', async () => {
      const { socket, uri, size } = await pair();
      const client = await connectNbd({ socketPath: socket, exportName: 'disk1' });
      const below = seeded(58);
      const blocks = Math.floor(size / BLOCK);
      const written = new Set<number>();
      let told = 0;
      for (let round = 0; round < 40; round += 1) {
        const batch = Array.from({ length: 1 + below(8) }, () => below(blocks));
        await Promise.all(batch.map((at) => client.write(at * BLOCK, Buffer.alloc(BLOCK, 1 + below(255)))));
        for (const at of batch) written.add(at);
        if (below(3) === 0) await client.flush();
        const map = await mapOf(uri);
        expect(map.reduce((at, { offset, length }) => (offset === at ? at + length : NaN), 0)).toBe(size);
        for (const { offset, length, type } of map) {
          if (type !== 3) continue;
          told += 1;
          const hidden = [...written].filter((at) => at * BLOCK >= offset && at * BLOCK < offset + length);
          expect(hidden).toEqual([]);
        }
      }
      expect(told).toBeGreaterThan(40);

      const before = holeBytes(await mapOf(uri));
      await client.zero(0, blocks * BLOCK, { mayPunch: true });
      await client.flush();
      expect(holeBytes(await mapOf(uri))).toBeGreaterThan(Math.max(before, size - 8 * BLOCK));
      await client.disconnect();
    });
  },
);
