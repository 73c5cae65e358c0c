import { expect, test } from 'vitest';
import { SimPair } from '../../src/simulate/sim-node.ts';

test('two virgin nodes join, replicate a write and end with equal disks', async () => {
  const pair = new SimPair(1);
  await pair.join();
  const data = Buffer.alloc(8192, 7);
  expect(await pair.alpha.write(65536, data)).toBeNull();
  expect(await pair.alpha.flush()).toBeNull();
  expect(await pair.alpha.read(65536, 8192)).toEqual(data);
  expect(pair.beta.data.subarray(65536, 65536 + 8192).equals(data)).toBe(true);
});

test('a secondary that was away is resynced', async () => {
  const pair = new SimPair(2);
  await pair.join();
  pair.beta.crash('process');
  expect(await pair.alpha.write(0, Buffer.alloc(131072, 9))).toBeNull();
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  await pair.untilInSync(pair.beta);
  expect(pair.beta.data.equals(pair.alpha.data)).toBe(true);
});
