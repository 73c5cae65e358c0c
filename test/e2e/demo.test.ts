import { execa } from 'execa';
import { describe, expect, it } from 'vitest';

import type { StoryResult } from '../../src/cli/demo/story.ts';
import { needs } from '../support/needs.ts';

const DISK_BYTES = 64 * 1024 * 1024;

async function runDemo(fileSystem: 'none' | 'ext4'): Promise<StoryResult> {
  const { stdout } = await execa(
    process.execPath,
    [
      'dist/src/cli/main.js',
      'demo',
      '--once',
      '--json',
      '--file-system',
      fileSystem,
      '--listen',
      '127.0.0.1:0',
    ],
    { timeout: 100_000, killSignal: 'SIGKILL' },
  );
  const last = stdout.trimEnd().split('\n').at(-1) ?? '';
  return JSON.parse(last) as StoryResult;
}

function expectNothingLost(verdict: StoryResult): void {
  expect(verdict).toMatchObject({ lost: 0, ok: true });
  expect(verdict.acknowledged).toBeGreaterThan(1000);
  expect(verdict.writeGapMs).toBeLessThanOrEqual(2000);
  // Only what changed while the node was away, not the whole disk.
  expect(verdict.resyncedBytes).toBeGreaterThan(0);
  expect(verdict.resyncedBytes).toBeLessThan(DISK_BYTES / 2);
}

it('fails raw blocks over and back without losing an acknowledged one', async () => {
  const verdict = await runDemo('none');
  expectNothingLost(verdict);
  expect(verdict.fileSystem).toBeNull();
}, 120_000);

describe.skipIf(needs('root', 'fuse', 'nbdfuse', 'losetup', 'mkfs.ext4'))('with a real file system', () => {
  it('fails a mounted ext4 over and back without losing a file that was fsynced', async () => {
    const verdict = await runDemo('ext4');
    expectNothingLost(verdict);
    expect(verdict.fileSystem).toBe('ext4');
  }, 120_000);
});
