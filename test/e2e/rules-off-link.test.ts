/** What is lost when a promotion does not read the data link to its end (B7), and not when it does: the same story twice. */
import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';

import { connectNbd } from '../../src/device/nbd-initiator.ts';
import { groupOf, resourceOf } from '../support/daemon.ts';
import { untilPaired } from '../support/failover.ts';
import { FREEZABLE_NEEDS, FreezableDirectory, labOn } from '../support/freezable-directory.ts';
import { needs } from '../support/needs.ts';
import { withoutRule } from '../support/rules-off.ts';
import { eventually } from '../support/stamped-clients.ts';

const DISK_MIB = 16;
/** Written by the engine's own thread, which stands still with the disk. */
const CHUNK_BYTES = 128 * 1024;
const CHUNKS = 20;
const STANDS_MS = 200;
const before = (chunk: number): Buffer => Buffer.alloc(CHUNK_BYTES, `${chunk} before, `);
const after = (chunk: number): Buffer => Buffer.alloc(CHUNK_BYTES, `${chunk} after, `);

describe.skipIf(needs(...FREEZABLE_NEEDS))(
  'a node that takes over while much of what the other one acknowledged (async) still waits in its sockets (B7)',
  () => {
    const undo: (() => Promise<unknown>)[] = [];
    afterEach(async () => {
      for (const action of undo.splice(0).reverse()) await action();
    });

    /** @returns the chunks that hasta acknowledged, all of which had left it, and hastb does not have */
    async function lostByTheSurvivor(rule: string | null): Promise<number[]> {
      const place = await FreezableDirectory.make();
      undo.push(() => place.close());
      const group = { name: 'storage', resources: ['disk1'], more: ['allow-loss: true'] };
      const lab = await labOn(place, DISK_MIB, { replication: 'async', groups: [group] });
      undo.push(() => lab.close());
      undo.push(() => place.thaw());
      const { hasta, hastb } = await withoutRule(rule, () => lab.startPair());
      await untilPaired({ primary: hasta, standby: hastb });
      const offered = resourceOf(await hasta.status(), 'disk1').export;
      const exportName = offered?.name ?? '';
      const nbd = await connectNbd({ socketPath: offered?.socket ?? '', exportName });
      const writeAll = async (content: (chunk: number) => Buffer): Promise<void> => {
        for (let chunk = 0; chunk < CHUNKS; chunk++) await nbd.write(chunk * CHUNK_BYTES, content(chunk));
      };
      const port = lab.places.hastb.dataPort;
      const standsStill = async (): Promise<boolean> => {
        const since = performance.now();
        for (let bytes = 1; bytes > 0; bytes = await unreadBytes(port))
          if (performance.now() - since > STANDS_MS) return true;
        return false;
      };
      // Its own thread writes as long as the disk is quick, which it is not always on a busy machine.
      await eventually('the engine stands still with its disk', async () => {
        await place.thaw();
        await writeAll(before);
        await writeAll(before);
        await nbd.flush();
        await place.freeze();
        for (const chunk of [0, 1]) await nbd.write(chunk * CHUNK_BYTES, after(chunk));
        return standsStill();
      });
      await writeAll(after);
      await eventually('all that was acknowledged is in the sockets', async () => {
        return (await unreadBytes(port)) > CHUNKS * CHUNK_BYTES;
      });
      await hasta.kill();
      await hastb.until('promoting', (status) => groupOf(status, 'storage').state === 'promoting.recording');
      await place.thaw();
      await hastb.untilPrimary('storage');

      const survivor = await connectNbd({
        socketPath: resourceOf(await hastb.status(), 'disk1').export?.socket ?? '',
        exportName,
      });
      const lost: number[] = [];
      for (let chunk = 0; chunk < CHUNKS; chunk++) {
        const found = await survivor.read(chunk * CHUNK_BYTES, CHUNK_BYTES);
        if (!found.equals(after(chunk))) lost.push(chunk);
      }
      await survivor.disconnect();
      return lost;
    }

    it('has everything, for it reads and applies that first', async () => {
      expect(await lostByTheSurvivor(null)).toEqual([]);
    });

    it('would lack what was acknowledged without the rule', async () => {
      expect((await lostByTheSurvivor('B7-end')).length).toBeGreaterThan(0);
    });
  },
);

/** On the way to this port or waiting to be read there. */
async function unreadBytes(port: number): Promise<number> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1);
  return lines.reduce((bytes, line) => {
    const [, local = '', remote = '', state, queues = ''] = line.trim().split(/\s+/);
    if (state !== '01') return bytes;
    const [sending = 0, receiving = 0] = queues.split(':').map((word) => parseInt(word, 16));
    return bytes + (remote.endsWith(suffix) ? sending : 0) + (local.endsWith(suffix) ? receiving : 0);
  }, 0);
}
