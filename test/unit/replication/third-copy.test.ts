import { describe, expect, it } from 'vitest';
import type { ResourceRecord } from '../../../src/model/record.ts';
import {
  decodeMetadataBlock,
  decodeThirdCopy,
  encodeMetadataBlock,
  encodeThirdCopy,
} from '../../../src/protocol/hast-metadata.ts';
import type { HastMetadata } from '../../../src/protocol/hast-metadata.ts';
import type { SidecarPort } from '../../../src/replication/ports.ts';
import { outdateThirdCopy } from '../../../src/replication/third-copy.ts';

const EPOCH = { number: 7, id: '0123456789abcdef' };
const META: HastMetadata = {
  ...{ resource: 'disk1', datasize: 67104256, extentsize: 2097152, keepdirty: 64, offset: 4608 },
  ...{ resuid: 77n, localcnt: 1n, remotecnt: 2n, prevrole: 'secondary' },
};
const RECORD: ResourceRecord = {
  epoch: EPOCH,
  generations: { current: '1111111111111111', previous: '2222222222222222' },
  ...{ state: 'clean', primary: 'hasta', inSync: ['hasta', 'hastb'], released: false },
};
const KNOWN = { resource: 'disk1', resuid: '77', datasize: 67104256, extentsize: 2097152 };

const third = (sequence: bigint, record = RECORD): Buffer => encodeThirdCopy(META, { record, sequence });

/** A state directory that holds one copy. */
function stateDirectory(content: Buffer | null): SidecarPort & { content: Buffer | null } {
  const port = {
    content,
    load: () => Promise.resolve(port.content),
    store: (next: Buffer) => {
      port.content = next;
      return Promise.resolve();
    },
  };
  return port;
}

describe('outdateThirdCopy', () => {
  it.each([5n, 6n, 100_005n])(
    'wins over a disk that was still written to, up to sequence %i',
    async (sequence) => {
      const port = stateDirectory(third(5n));
      await outdateThirdCopy(port, KNOWN, EPOCH);
      const block = encodeMetadataBlock(META, { record: RECORD, sequence });
      expect(decodeMetadataBlock(block, port.content, 'disk1')).toMatchObject({
        own: { record: { ...RECORD, state: 'outdated' } },
        ...{ source: 'third', freshness: 'unknown' },
      });
    },
  );

  it('leaves a disk that was given up what it is', async () => {
    const port = stateDirectory(encodeThirdCopy(META, { record: RECORD, sequence: 5n, givenUp: true }));
    await outdateThirdCopy(port, KNOWN, EPOCH);
    expect(decodeThirdCopy(port.content ?? Buffer.alloc(0), 'disk1')?.own).toMatchObject({
      ...{ givenUp: true, record: { state: 'outdated' } },
    });
  });

  it('is recorded again after the disk was opened in between', async () => {
    const port = stateDirectory(third(5n));
    await outdateThirdCopy(port, KNOWN, EPOCH);
    const first = decodeThirdCopy(port.content ?? Buffer.alloc(0), 'disk1')?.own.sequence ?? 0n;
    port.content = third(first + 1n);
    await outdateThirdCopy(port, KNOWN, { number: 8, id: EPOCH.id });
    const again = decodeThirdCopy(port.content, 'disk1');
    expect(again?.own.record.state).toBe('outdated');
    expect(again?.own.sequence).toBeGreaterThan(first + 1n);
  });

  it('leaves a disk inconsistent that was so', async () => {
    const port = stateDirectory(third(5n, { ...RECORD, state: 'inconsistent' }));
    await outdateThirdCopy(port, KNOWN, EPOCH);
    expect(decodeThirdCopy(port.content ?? Buffer.alloc(0), 'disk1')?.own.record.state).toBe('inconsistent');
  });

  it.each<[string, Buffer | null, object, object, string]>([
    ['there is no copy', null, {}, {}, 'third-copy-strange'],
    ['the copy is damaged', third(5n).subarray(0, 60), {}, {}, 'third-copy-strange'],
    ['the copy is of another life of the disk', third(5n), { resuid: '78' }, {}, 'third-copy-strange'],
    ['the copy is of another size', third(5n), { datasize: 4096 }, {}, 'third-copy-strange'],
    ['the copy is of another resource', third(5n), { resource: 'disk2' }, {}, 'third-copy-strange'],
    ['an older primary asks', third(5n), {}, { number: 6 }, 'epoch-old'],
    ['another primary of the same epoch asks', third(5n), {}, { id: 'ffffffffffffffff' }, 'epoch-old'],
  ])('refuses when %s, and changes nothing', async (_, content, known, epoch, code) => {
    const port = stateDirectory(content);
    const asked = outdateThirdCopy(port, { ...KNOWN, ...known }, { ...EPOCH, ...epoch });
    await expect(asked).rejects.toMatchObject({ code });
    expect(port.content).toBe(content);
  });

  it('says that a full state directory is why', async () => {
    const port = stateDirectory(third(5n));
    port.store = () => Promise.reject(new Error('no space left'));
    await expect(outdateThirdCopy(port, KNOWN, EPOCH)).rejects.toMatchObject({
      code: 'third-copy-write',
      message: expect.stringContaining('no space left') as string,
    });
  });
});
