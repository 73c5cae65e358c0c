/** Disks whose data starts at a multiple of 4 KiB, as `hastate create --align 4k` makes them. */
import { expect, test } from 'vitest';
import { encodeMetadataBlock, layout, METADATA_BYTES } from '../../src/protocol/hast-metadata.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimName, SimOptions } from '../../src/simulate/sim-node.ts';

const EXTENT = 65536;
const block = (byte: number): Buffer => Buffer.alloc(4096, byte);

function pairOf(aligned: readonly SimName[], options: SimOptions = {}): SimPair {
  const pair = new SimPair(71, options);
  for (const name of aligned) {
    const { disk } = pair.node(name);
    const { datasize, localoff } = layout(disk.sizeBytes, EXTENT, 512, 4096);
    expect(localoff).toBe(8192);
    const meta = {
      ...{ resource: 'disk', datasize, extentsize: EXTENT, keepdirty: 4, offset: localoff },
      ...{ resuid: 0n, localcnt: 0n, remotecnt: 0n, prevrole: 'init' as const },
    };
    for (const image of [disk.content, disk.durable]) {
      image.fill(0, METADATA_BYTES, localoff);
      encodeMetadataBlock(meta, null).copy(image, 0);
    }
  }
  return pair;
}

test.each(['hastate', 'hastd'] as const)(
  'two of them replicate and resync as others do (%s)',
  async (peerKind) => {
    const pair = pairOf(['alpha', 'beta'], { peerKind });
    await pair.alpha.start();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.promote(pair.alpha, ['alpha']);
    await pair.clock.run(4000);
    expect(await pair.alpha.write(0, block(1), true)).toBeNull();
    pair.beta.crash('power');
    expect(await pair.alpha.write(5 * EXTENT, block(2), true)).toBeNull();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.clock.run(4000);
    const at = (node: SimName, offset: number): Buffer =>
      pair.node(node).disk.content.subarray(8192 + offset, 8192 + offset + 4096);
    for (const node of ['alpha', 'beta'] as const) {
      expect(at(node, 0).equals(block(1))).toBe(true);
      expect(at(node, 5 * EXTENT).equals(block(2))).toBe(true);
    }
    expect((await pair.alpha.snapshot()).status).toBe('complete');
  },
);

test('one of them never meets one of the usual layout, and both nodes say what to do', async () => {
  const pair = pairOf(['alpha']);
  await pair.alpha.start();
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  await pair.promote(pair.alpha, ['alpha']);
  await pair.clock.run(2000);
  for (const node of [pair.alpha, pair.beta])
    expect((await node.snapshot()).peerProblem).toMatch(
      /^Data size differs between nodes .* Run 'hastate create' with the same -m, -e and --align on both\.$/,
    );
});
