/** Who is met on the data link: E1, E3, and disks that do not fit, each refused with the reason on both nodes. */
import { describe, expect, test } from 'vitest';
import { deriveLinkKey } from '../../src/protocol/link-proof.ts';
import { createMetadata } from '../../src/replication/engine.ts';
import { SimPair } from '../../src/simulate/sim-node.ts';
import type { SimNode, SimOptions } from '../../src/simulate/sim-node.ts';
import { fieldsOf, shakeHands, text, u64, u8, VIRGIN, Wire } from '../support/sim-wire.ts';

const key = deriveLinkKey(Buffer.from('a secret of some length'), 'alpha', 'beta');
const other = deriveLinkKey(Buffer.from('another secret of some length'), 'alpha', 'beta');

async function started(options: SimOptions): Promise<SimPair> {
  const pair = new SimPair(17, options);
  await pair.alpha.start();
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  await pair.promote(pair.alpha, ['alpha']);
  return pair;
}

const refusals = (node: SimNode): string[] =>
  node.events.filter(({ kind }) => kind === 'refused').map(({ message }) => message);

/** The link is refused for a while: once in each log, in each status, and nobody was linked. */
async function expectRefused(pair: SimPair, words: readonly [alpha: string, beta: string]): Promise<void> {
  await pair.clock.run(20_000);
  for (const [index, node] of [pair.alpha, pair.beta].entries()) {
    const said = refusals(node).filter((message) => message.includes(words[index] ?? ''));
    expect([node.name, said.length]).toEqual([node.name, 1]);
    expect(await node.snapshot()).toMatchObject({ dataLinkUp: false, peerProblem: said[0] });
  }
}

describe('with the same secret on both nodes', () => {
  test('they meet, synchronize, and a wrong word of before is forgotten', async () => {
    const pair = await started({
      secrets: { alpha: key, beta: key },
      checksum: 'sha256',
      compression: 'lzf',
    });
    await pair.untilInSync(pair.beta);
    expect(await pair.alpha.write(0, Buffer.alloc(4096, 1))).toBeNull();
    expect((await pair.beta.snapshot()).peerProblem).toBeNull();
  });

  test('a plain primary is refused at its first word, and the session that there is goes on', async () => {
    const pair = await started({ secrets: { alpha: key, beta: key } });
    await pair.untilInSync(pair.beta);
    await expect(shakeHands(pair, VIRGIN)).rejects.toThrow('knows the secret');
    const snapshot = await pair.beta.snapshot();
    expect([snapshot.dataLinkUp, snapshot.peerProblem?.includes('knows the secret')]).toEqual([true, true]);
    expect(await pair.alpha.write(0, Buffer.alloc(4096, 1))).toBeNull();
  });

  test('who has seen a handshake cannot repeat it', async () => {
    const pair = new SimPair(17, { secrets: { alpha: key, beta: key } });
    const seen: Buffer[] = [];
    pair.net.onSent = (to, bytes) => to === 'beta' && seen.push(bytes);
    await pair.alpha.start();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.promote(pair.alpha, ['alpha']);
    await pair.untilInSync(pair.beta);
    const [hello, request] = seen;
    pair.alpha.crash('power');
    const one = await Wire.to(pair, 'beta');
    one.raw(hello ?? Buffer.alloc(0));
    const token = (await one.next()).nv.bytes('token');
    const two = await Wire.to(pair, 'beta');
    const again = Buffer.from(request ?? Buffer.alloc(0));
    // The recorded proof with the new token.
    const at = again.indexOf('token') + 8;
    token?.copy(again, at);
    two.raw(again);
    expect(fieldsOf(await one.next())['errmsg']).toContain('knows the secret');
  });
});

describe('a peer is refused, with the reason in both logs and in both status,', () => {
  test('that has another secret', async () => {
    const pair = await started({ secrets: { alpha: key, beta: other } });
    await expectRefused(pair, ['knows the secret', 'knows the secret']);
  });

  test('that has no secret, as a secondary', async () => {
    const pair = await started({ secrets: { alpha: key } });
    await expectRefused(pair, ['this node has none', 'this node has none']);
  });

  test('that has no secret, as a primary', async () => {
    const pair = await started({ secrets: { beta: key } });
    await expectRefused(pair, ['knows the secret', 'knows the secret']);
  });

  test('whose disk has another size', async () => {
    const pair = await withDisk({ mediasize: 2 * 1024 * 1024, extentsize: 65536 });
    await expectRefused(pair, ['Data size differs', 'Data size differs']);
  });

  test('whose extents have another size', async () => {
    const pair = await withDisk({ mediasize: 4 * 1024 * 1024, extentsize: 131072 });
    await expectRefused(pair, ['Extent size differs', 'Extent size differs']);
  });

  test('that has another unique ID', async () => {
    const one = new SimPair(18);
    await one.join();
    const pair = new SimPair(17);
    pair.beta.disk.content.set(one.beta.disk.content);
    await pair.alpha.start();
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    await pair.promote(pair.alpha, ['alpha']);
    // Its record is of an epoch of its own, which is looked at first.
    const epoch = { number: 7, id: 'ab'.repeat(8) };
    await pair.alpha.run({ type: 'release', handover: false });
    await pair.alpha.run({ type: 'prepare-primary', epoch, inSync: ['alpha'] });
    await pair.alpha.run({ type: 'become-primary', epoch });
    await expectRefused(pair, ['unique ID mismatch', 'unique ID mismatch']);
  });
});

async function withDisk(options: { mediasize: number; extentsize: number }): Promise<SimPair> {
  const pair = new SimPair(17);
  const { block, map } = createMetadata('disk', pair.beta.disk.sizeBytes, 512, { keepdirty: 4, ...options });
  pair.beta.disk.content.fill(0);
  block.copy(pair.beta.disk.content, 0);
  map.copy(pair.beta.disk.content, 4096);
  await pair.alpha.start();
  await pair.beta.start();
  await pair.beta.run({ type: 'become-secondary' });
  await pair.promote(pair.alpha, ['alpha']);
  return pair;
}

describe('a peer of a later version', () => {
  const LATER = 'speaks version 3 of HAST, this node up to 2';

  test.each([
    ['in its header', (wire: Wire) => wire.send([text('any', 'thing')], undefined, 3)],
    ['in what it agrees to', (wire: Wire) => wire.send([u8('version', 3)])],
  ])('as a secondary, %s, is refused with the reason here, and there', async (_where, answer) => {
    const pair = new SimPair(17);
    const wires: Wire[] = [];
    pair.net.listen('beta', (connection) => wires.push(new Wire(pair, connection)));
    await pair.alpha.start();
    await pair.promote(pair.alpha, ['alpha']);
    await pair.clock.run(1000, () => wires[0]?.frames.length === 1);
    wires[0]?.frames.splice(0);
    if (wires[0] !== undefined) answer(wires[0]);
    await pair.clock.run(100);
    expect(refusals(pair.alpha)).toEqual([expect.stringContaining(LATER)]);
    expect((await pair.alpha.snapshot()).peerProblem).toContain(LATER);
    expect(wires[0]?.frames.map(fieldsOf)).toEqual([
      { cmd: 5, refused: expect.stringContaining(LATER) as string },
    ]);
  });

  test('as a primary, which goes away after the first answer, leaves its reason here', async () => {
    const pair = new SimPair(17);
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    const wire = await Wire.to(pair, 'beta');
    wire.send([text('resource', 'disk'), u8('version', 2)]);
    await wire.next();
    wire.send([u8('cmd', 5), text('refused', 'this node needs version 3')]);
    await pair.clock.run(100);
    expect((await pair.beta.snapshot()).peerProblem).toContain('this node needs version 3');
    expect(wire.closed).not.toBeNull();
  });
});

describe('where a hastate peer is expected', () => {
  test('a plain primary is refused, and told how to be let in', async () => {
    const pair = new SimPair(17);
    await pair.beta.start();
    await pair.beta.run({ type: 'become-secondary' });
    const { reply } = await shakeHands(pair, VIRGIN);
    expect(reply.nv.string('errmsg')).toContain('peer-kind: hastd');
    expect((await pair.beta.snapshot()).peerProblem).toContain('peer-kind: hastd');
  });

  test('a plain secondary is refused before anything is sent to it', async () => {
    const pair = new SimPair(17);
    const wires: Wire[] = [];
    pair.net.listen('beta', (connection) => wires.push(new Wire(pair, connection)));
    await pair.alpha.start();
    await pair.promote(pair.alpha, ['alpha']);
    await pair.clock.run(1000, () => wires[0]?.frames.length === 1);
    wires[0]?.send([u8('version', 2), { name: 'token', type: 'bytes', value: Buffer.alloc(16, 7) }]);
    await pair.clock.run(1000, () => wires[1]?.frames.length === 1);
    const { datasize, extentsize } = await pair.alpha.snapshot();
    wires[0]?.frames.splice(0);
    wires[0]?.send([
      { name: 'datasize', type: 'int64', value: datasize },
      { name: 'extentsize', type: 'int32', value: extentsize },
      ...[u8('virgin', 1), u8('syncsrc', 1), { name: 'mapsize', type: 'uint32', value: 0 } as const],
    ]);
    await pair.clock.run(100);
    expect(refusals(pair.alpha)).toEqual([expect.stringContaining('peer-kind: hastd')]);
    // What a hastd takes for a keepalive tells a hastate node why.
    expect(wires[0]?.frames.map(fieldsOf)).toEqual([
      { cmd: 5, refused: expect.stringContaining('peer-kind: hastd') as string },
    ]);
    expect(wires[0]?.closed).not.toBeNull();
  });

  test('an epoch in a refusal freezes nobody unless it is proven to come from the peer', async () => {
    for (const secrets of [{ alpha: key }, {}]) {
      const pair = new SimPair(17, { secrets });
      pair.net.listen('beta', (connection) => {
        const wire = new Wire(pair, connection);
        wire.send([text('errmsg', 'no'), u64('epoch', 99), u64('epochid', 1)]);
      });
      await pair.alpha.start();
      await pair.promote(pair.alpha, ['alpha', 'beta']);
      await pair.clock.run(1000);
      expect(pair.alpha.kinds().includes('frozen') || pair.alpha.kinds().includes('split-brain')).toBe(
        secrets.alpha === undefined,
      );
    }
  });
});
