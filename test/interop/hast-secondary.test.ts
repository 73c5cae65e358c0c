/** Every captured primary is played against our secondary, which must answer as the real hastd did. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { captureNames, loadCapture } from '../support/interop/captured.ts';
import { bundleWorker } from '../support/interop/real-engine.ts';
import {
  type ByDesign,
  compareStream,
  idleReasons,
  judge,
  replayTable,
  type Row,
} from '../support/interop/replay-report.ts';
import { SecondaryReplay } from '../support/interop/secondary-replay.ts';

const BY_DESIGN: readonly ByDesign[] = [
  {
    scenario: /^invalid-cmd-aborts-worker$/,
    what: 'in addition: seq 1, error 22',
    why: 'an unknown command is refused; hastd aborts',
  },
  {
    scenario: /^header-version-3$/,
    what: 'in addition: errmsg the peer speaks version 3 of HAST, this node up to 2: install the same version on both nodes',
    why: 'a node of a later version is told why; hastd closes without a word',
  },
  {
    scenario: /^unknown-address$/,
    what: 'in addition: errmsg Address 127.0.0.63 is not the remote address of any resource.',
    why: 'a stranger is told why; hastd closes without a word',
  },
];

const rows: Row[] = [];
let bundle: Awaited<ReturnType<typeof bundleWorker>>;
beforeAll(async () => {
  bundle = await bundleWorker('secondary-replay');
});
afterAll(() => {
  bundle.remove();
  process.stdout.write(`\nCaptured primaries against our secondary\n${replayTable(rows, BY_DESIGN)}`);
});

describe.each(['streams', 'fakeprimary'] as const)('the secondary, for %s,', (folder) => {
  it.each(captureNames(folder))(
    'answers %s as hastd did, field by field, and its disk is as written',
    async (name) => {
      const capture = loadCapture(folder, name);
      const replay = new SecondaryReplay(capture, bundle.worker);
      try {
        const { answers, sameData, metadata, expectedMetadata } = await replay.run();
        const mine = [...capture.connections].map(([conn, { s2p }]) =>
          compareStream(name, `conn${conn} s2p`, answers.get(conn) ?? [], s2p.messages, ['token']),
        );
        rows.push(...mine);
        expect(mine.flatMap((row) => judge(row, BY_DESIGN).unexpected)).toEqual([]);
        expect(metadata).toMatchObject(expectedMetadata);
        expect(sameData).toBe(true);
      } finally {
        await replay.close();
      }
    },
  );
});

it('excuses no difference that there is none of', () => {
  expect(idleReasons(rows, BY_DESIGN)).toEqual([]);
});
