import { expect, it } from 'vitest';
import { syncText } from '../../../src/cli/sync-text.ts';

it.each([
  [{ remainingMs: 0 }, '50 % of 2.0GB, 100MB/s, 0 s to go'],
  [{ remainingMs: 59_001 }, '1 min 0 s to go'],
  [{ remainingMs: 7_870_000 }, '2 h 11 min to go'],
  [{ remainingMs: null, bytesPerSecond: 0 }, '50 % of 2.0GB, 0B/s, waiting'],
])('a resync is told with its share, rate and time: %o', (part, text) => {
  const sync = {
    direction: 'toPeer' as const,
    totalBytes: 2 * 1024 ** 3,
    doneBytes: 1024 ** 3,
    startedMsAgo: 1,
    bytesPerSecond: 100 * 1024 ** 2,
    ...part,
  };
  expect(syncText(sync)).toContain(text);
});
