/** Both nodes speak plain hastd's protocol only: counters decide, nobody holds, nothing is lost. */
import { expect, test } from 'vitest';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimOptions } from '../../src/simulate/sim-node.ts';

const EXTENT = 65536;
const block = (byte: number, length = 4096): Buffer => Buffer.alloc(length, byte);

async function connected(options: SimOptions = {}): Promise<SimPair> {
  const pair = new SimPair(31, { peerKind: 'hastd', ...options });
  await pair.alpha.start();
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  await pair.promote(pair.alpha, ['alpha']);
  await settled(pair);
  return pair;
}

async function settled(pair: SimPair): Promise<void> {
  await pair.clock.run(4000);
}

test.each([
  ['none', 'none'],
  ['crc32', 'hole'],
  ['sha256', 'lzf'],
] as const)('writes and reads travel with checksum %s and compression %s', async (checksum, compression) => {
  const pair = await connected({ checksum, compression });
  const data = Buffer.concat([block(0, 65536), Buffer.from('abcd'.repeat(16384)), pair.random.bytes(65536)]);
  expect(await pair.alpha.write(EXTENT, data)).toBeNull();
  await settled(pair);
  expect(pair.beta.data.subarray(EXTENT, EXTENT + data.length).equals(data)).toBe(true);
});

test('a primary says that it is complete when its next write goes to the peer, not earlier', async () => {
  const pair = new SimPair(33, { peerKind: 'hastd' });
  await pair.alpha.start();
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  pair.alpha.sidecarMs = 50;
  await pair.promote(pair.alpha, ['alpha']);
  while ((await pair.alpha.snapshot()).status !== 'complete') await pair.clock.run(1);
  expect(await pair.alpha.write(0, block(5))).toBeNull();
  expect((await pair.alpha.snapshot()).dirtyBytes).toBe(0);
  await settled(pair);
  expect((await pair.beta.snapshot()).counters.writes).toBe(1);
});

test('a write without the secondary is answered at once, bumps localcnt durably, and is copied later', async () => {
  const pair = await connected();
  pair.beta.crash('process');
  await pair.clock.run(10);
  const before = pair.clock.now();
  expect(await pair.alpha.write(0, block(3))).toBeNull();
  expect(pair.clock.now() - before).toBeLessThan(20);
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  await settled(pair);
  expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  expect(pair.alpha.kinds()).toContain('sync-done');
});

test('writes that were sent but not answered are copied after the reconnect', async () => {
  const pair = await connected({ replication: 'async' });
  pair.net.silent = true;
  await pair.alpha.write(5 * EXTENT, block(8));
  pair.net.resetAll();
  pair.net.silent = false;
  await settled(pair);
  expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
});

test('failback: a new primary that is behind takes over from the secondary, and reads come from the right side', async () => {
  const pair = await connected({ sizeBytes: 8 * 1024 * 1024 });
  pair.beta.crash('process');
  for (let i = 0; i < 6; i++) await pair.alpha.write(i * 1048576, block(i + 1, 1048576));
  await pair.alpha.run({ type: 'release', handover: false });
  await pair.alpha.run({ type: 'become-secondary' });
  await pair.beta.start();
  await pair.promote(pair.beta, ['beta']);
  await pair.clock.run(5000, () => pair.beta.kinds().includes('sync-started'));
  expect((await pair.beta.snapshot()).sync?.direction).toBe('fromPeer');
  for (let i = 0; i < 6; i++) expect(await pair.beta.read(i * 1048576 + 4096, 4096)).toEqual(block(i + 1));
  expect(await pair.beta.write(5 * 1048576, block(0x55))).toBeNull();
  await settled(pair);
  expect(pair.beta.kinds()).toContain('sync-done');
  expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
  expect(pair.beta.data[5 * 1048576]).toBe(0x55);
  expect((await pair.beta.snapshot()).record.state).toBe('clean');
});

test('writes on both sides apart are a split-brain by the counters', async () => {
  const pair = await connected();
  pair.net.refusing = true;
  pair.net.resetAll();
  await pair.clock.run(10);
  await pair.alpha.write(0, block(1));
  await pair.promote(pair.beta, ['beta']);
  await pair.beta.write(0, block(2));
  await pair.beta.run({ type: 'release', handover: false });
  await pair.beta.run({ type: 'become-secondary' });
  pair.net.refusing = false;
  await settled(pair);
  expect([pair.alpha.data[0], pair.beta.data[0]]).toEqual([1, 2]);
  expect(pair.alpha.kinds()).toContain('split-brain');
});

test('a silent peer is noticed without traffic by its keepalives, within the time-out of hastd', async () => {
  const pair = await connected();
  pair.net.loseAll();
  pair.net.refusing = true;
  await pair.clock.run(40_000);
  expect(pair.beta.kinds()).toContain('disconnected');
  expect((await pair.beta.snapshot()).dataLinkUp).toBe(false);
});

test('an operator vouches for no copy whose primary is connected; once that is gone the same word is enough', async () => {
  const pair = await connected();
  const vouched = { type: 'prepare-primary', inSync: ['beta'], vouched: true } as const;
  await expect(pair.beta.run({ ...vouched, epoch: pair.nextEpoch() })).rejects.toMatchObject({
    code: 'peer-alive',
  });
  pair.alpha.crash('process');
  await pair.clock.run(100);
  const { record } = await pair.beta.run({ ...vouched, epoch: pair.nextEpoch() });
  expect(record).toMatchObject({ state: 'clean', primary: 'beta' });
});
