/** The maps of both nodes, compared over the peer channel in bounded pieces. */
import { describe, expect, it } from 'vitest';

import type { Member } from '../../../src/daemon/bind/members.ts';
import { compareMarks, marksOf } from '../../../src/daemon/marks.ts';
import type { ResolvePorts } from '../../../src/daemon/resolve.ts';
import { NetError } from '../../../src/model/errors.ts';
import { VIRGIN_RECORD } from '../../../src/model/record.ts';
import type { CopyFacts } from '../../../src/model/resolve.ts';
import { PEER_LINE_LIMIT } from '../../../src/protocol/peer-message.ts';
import { readResolveRequest } from '../../../src/protocol/resolve-message.ts';

const EXTENTS = 700_001;
const EXTENT = 4096;

const map = (...extents: number[]): Uint8Array => {
  const bits = new Uint8Array(Math.ceil(EXTENTS / 8));
  for (const extent of extents) bits[extent >> 3] = (bits[extent >> 3] ?? 0) | (1 << (extent & 7));
  return bits;
};
const member = (marks: Uint8Array): Member =>
  ({
    settings: { name: 'disk1' },
    engine: { command: () => Promise.resolve({ marks }) },
  }) as unknown as Member;
const copy = (node: string, changes: Partial<CopyFacts> = {}): CopyFacts => ({
  ...{ node, role: 'secondary', group: 'storage', error: null, record: VIRGIN_RECORD },
  ...{ dirtyExtents: 1, dirtyBytes: EXTENT, extentBytes: EXTENT, dataBytes: EXTENTS * EXTENT },
  ...changes,
});

/** hasta asks hastb. */
function ports(theirs: Uint8Array, asked: number[] = []): ResolvePorts {
  return {
    runtime: { node: 'hasta' } as ResolvePorts['runtime'],
    sources: { members: new Map(), groups: new Map() },
    askPeer: async (_, params) => {
      const request = readResolveRequest(params);
      const answer = await marksOf(member(theirs), request.step === 'marks' ? request.from : -1);
      asked.push(JSON.stringify(answer).length);
      return answer;
    },
  };
}

const HERE = map(0, 5, 300_000, 700_000);
const THERE = map(5, 6, 299_999, 699_999, 700_000);
const one = { extents: 2, bytes: 2 * EXTENT };
const other = { extents: 3, bytes: 3 * EXTENT };

describe('two maps', () => {
  it('are compared to the last extent, in messages that fit into a line', async () => {
    const asked: number[] = [];
    const found = await compareMarks(ports(THERE, asked), member(HERE), copy('hasta'), copy('hastb'));
    expect(found).toEqual({ keepOnly: one, discardOnly: other, both: one });
    expect(asked.length).toBe(3);
    expect(Math.max(...asked)).toBeLessThan(PEER_LINE_LIMIT - 1024);
  });

  it('keep their sides when the other node is the one that is kept', async () => {
    const found = await compareMarks(ports(THERE), member(HERE), copy('hastb'), copy('hasta'));
    expect(found).toEqual({ keepOnly: other, discardOnly: one, both: one });
  });

  it('are not compared where they are of different disks, too large, or cannot be had', async () => {
    const asked: number[] = [];
    const reachable = ports(THERE, asked);
    const huge = { dataBytes: 10 ** 13 };
    for (const [ours, theirs] of [
      [{ extentBytes: 0 }, { extentBytes: 0 }],
      [{}, { extentBytes: 8192 }],
      [{}, { dataBytes: EXTENT }],
      [huge, huge],
    ])
      expect(
        await compareMarks(reachable, member(HERE), copy('hasta', ours), copy('hastb', theirs)),
      ).toBeNull();
    expect(asked).toEqual([]);
    const short = await compareMarks(ports(THERE.subarray(9)), member(HERE), copy('hasta'), copy('hastb'));
    expect(short).toBeNull();
    const older = {
      ...reachable,
      askPeer: () => Promise.reject(new NetError('peer-refused', 'no such step')),
    };
    expect(await compareMarks(older, member(HERE), copy('hasta'), copy('hastb'))).toBeNull();
  });
});
