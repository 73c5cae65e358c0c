/** Two machines, one ext4 file system: who writes to it waits for so long. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { StampWriter } from '../../src/cli/demo/writer.ts';
import { MKFS } from '../support/device-lab.ts';
import { needs } from '../support/needs.ts';
import { otherOf, moreOf, STORY_NEEDS, StoryPair } from '../support/story-pair.ts';
import { LONG, median, note, STORY_MS } from '../support/story-table.ts';

const ROUNDS = LONG ? 5 : 1;
const STORY = 'ext4';

describe.skipIf(needs(...STORY_NEEDS, 'mkfs.ext4'))('an ext4 file system on two machines', () => {
  let pair: StoryPair;
  let writer: StampWriter;

  beforeAll(async () => {
    pair = await StoryPair.start({
      diskMiB: 64,
      ownHooks: { '10-mkfs': MKFS, '30-files': '[ "$1" != start ] || mkdir -p "$HASTATE_PARAM_DIR"' },
      hooks: (perNode) => [
        '10-mkfs: {}',
        '20-ext4:',
        `  mountpoint: ${perNode('mnt')}`,
        '30-files:',
        `  dir: ${perNode('mnt/files')}`,
      ],
    });
    writer = pair.writer((node) => join(pair.at(node, 'mnt'), 'files'));
    writer.start();
    await moreOf(writer);
  }, STORY_MS);
  afterAll(async () => {
    await writer.stop();
    await pair.close();
  });

  it('is handed over and back with every fsynced write', { timeout: STORY_MS }, async () => {
    const gaps: number[] = [];
    for (let round = 0; round < 2 * ROUNDS; round++) {
      const to = round % 2 === 0 ? 'hastb' : 'hasta';
      gaps.push(await pair.gapOf(writer, to, () => pair.switchover(to)));
      await pair.untilPaired(to);
      expect((await writer.verify()).lost).toEqual([]);
    }
    note({ story: STORY, what: 'switchover: no write for', value: median(gaps), goal: 500 });
  });

  it('survives crashes of either machine with every fsynced write', { timeout: STORY_MS }, async () => {
    const gaps: number[] = [];
    for (let round = 0; round < 2 * ROUNDS; round++) {
      const from = round % 2 === 0 ? 'hasta' : 'hastb';
      const to = otherOf(from);
      gaps.push(await pair.gapOf(writer, to, () => pair.crash(from)));
      expect((await writer.verify()).lost).toEqual([]);
      await pair.reboot(from);
      await pair.untilPaired(to);
    }
    note({ story: STORY, what: 'crash to the next fsynced write', value: median(gaps), goal: 1000 });
  });
});
