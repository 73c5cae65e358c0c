/** Two hastate nodes in every mode, with every checksum and compression, while links and nodes fail. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { table } from '../../src/cli/table.ts';
import type { Settings } from '../support/interop/captured.ts';
import { FaultStory, type Verdict } from '../support/interop/fault-story.ts';
import { needs } from '../support/needs.ts';
import { Namespaces } from '../support/netns.ts';

/** At the same time: they mostly wait. */
const LABS = 4;
const SEED = Number(process.env['HASTATE_SEED'] ?? Math.floor(Math.random() * 1e9));
const COMBINATIONS: readonly Settings[] = (['fullsync', 'memsync', 'async'] as const).flatMap((replication) =>
  (['none', 'crc32', 'sha256'] as const).flatMap((checksum) =>
    (['none', 'hole', 'lzf'] as const).map((compression) => ({ replication, checksum, compression })),
  ),
);

const nameOf = ({ replication, checksum, compression }: Settings): string =>
  `${replication} ${checksum} ${compression}`;

describe.skipIf(needs('root', 'netns', 'nft', 'fuse', 'nbdkit', 'nbdfuse', 'fusermount3'))(
  'two nodes',
  () => {
    const verdicts = new Map<string, Verdict>();
    const free: Namespaces[] = [];
    const waiting: ((namespaces: Namespaces) => void)[] = [];

    beforeAll(async () => {
      for (let i = 0; i < LABS; i++) free.push(await Namespaces.make());
    });
    afterAll(async () => {
      for (const namespaces of free) await namespaces.close();
      const rows = [...verdicts].map(([name, { faults, acknowledged, lost, differ, seconds }]) => [
        ...[name, faults.join(', '), String(acknowledged), String(lost.length)],
        ...[differ.length === 0 ? 'yes' : 'NO', seconds.toFixed(1)],
      ]);
      rows.sort(([a = ''], [b = '']) => (a < b ? -1 : 1));
      const head = ['combination', 'faults', 'acknowledged', 'lost', 'identical', 'seconds'];
      process.stdout.write(
        `\nTwo hastate nodes under faults, HASTATE_SEED=${SEED}\n${table([head, ...rows])}`,
      );
    });

    async function take(): Promise<Namespaces> {
      return free.pop() ?? new Promise((resolve) => waiting.push(resolve));
    }
    function giveBack(namespaces: Namespaces): void {
      const next = waiting.shift();
      if (next === undefined) free.push(namespaces);
      else next(namespaces);
    }

    describe.concurrent('with', () => {
      it.each(COMBINATIONS.map((settings, i) => [nameOf(settings), settings, i] as const))(
        '%s keep what was acknowledged and end with the same bytes',
        async (name, settings, i) => {
          const namespaces = await take();
          const story = new FaultStory(settings, SEED + i, namespaces);
          try {
            const verdict = await story.run();
            verdicts.set(name, verdict);
            expect(verdict).toMatchObject({ lost: [], stale: [], differ: [] });
          } catch (error) {
            throw new Error(`HASTATE_SEED=${SEED}: ${await story.report()}`, { cause: error });
          } finally {
            await story.close();
            giveBack(namespaces);
          }
        },
        240_000,
      );
    });
  },
);
