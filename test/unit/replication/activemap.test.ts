import { beforeEach, describe, expect, test } from 'vitest';
import { ActiveMap } from '../../../src/replication/activemap.ts';
import { dirtyBits } from '../../../src/replication/map-image.ts';

let map: ActiveMap;
let disk: Buffer;
/** Map writes under way: call one to end it. */
let writes: ((error?: string) => void)[];

function make(keepdirty = 0, extents = 8192): void {
  disk = Buffer.alloc(1024);
  writes = [];
  map = new ActiveMap({
    extents,
    keepdirty,
    imageBytes: 1024,
    sectorBytes: 512,
    store: (offset, data, done) =>
      writes.push((error) => {
        if (error === undefined) data.copy(disk, offset);
        done(error ?? null);
      }),
  });
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const onDisk = (e: number): boolean => (((disk[e >> 3] ?? 0) >> (e & 7)) & 1) === 1;

/** begin() as a flag. */
function begin(first: number, last = first): { went: string | null | undefined } {
  const state: { went: string | null | undefined } = { went: undefined };
  map.begin(first, last, (error) => (state.went = error));
  return state;
}

beforeEach(() => make());

describe('a write', () => {
  test('waits for its bits, and those that come in one turn share one map write', async () => {
    const states = [begin(1), begin(2, 3), begin(4000)];
    await turn();
    expect(writes).toHaveLength(1);
    expect(states.map((s) => s.went)).toEqual([undefined, undefined, undefined]);
    writes[0]?.();
    expect(states.map((s) => s.went)).toEqual([null, null, null]);
    expect([1, 2, 3, 4000].map(onDisk)).toEqual([true, true, true, true]);
  });

  test('that comes while the map is written waits for the next one, and only one is in flight', async () => {
    begin(1);
    await turn();
    const late = begin(2);
    await turn();
    expect(writes).toHaveLength(1);
    writes[0]?.();
    expect(late.went).toBeUndefined();
    await turn();
    writes[1]?.();
    expect(late.went).toBeNull();
  });

  test('goes at once when its bit is durable already', async () => {
    begin(1);
    await turn();
    writes[0]?.();
    expect(begin(1).went).toBeNull();
  });

  test('does not go on a bit that a map write is just clearing', async () => {
    begin(1);
    await turn();
    writes[0]?.();
    map.end(1, 1, 'clean');
    map.settle(map.takeUnflushed(), 'flushed');
    await turn();
    const again = begin(1);
    expect(again.went).toBeUndefined();
    writes[1]?.();
    expect([onDisk(1), again.went]).toEqual([false, undefined]);
    await turn();
    writes[2]?.();
    expect([onDisk(1), again.went]).toEqual([true, null]);
  });

  test('fails when the map cannot be written, and the next map write carries its bit again', async () => {
    const state = begin(9);
    await turn();
    writes[0]?.('EIO');
    expect(state.went).toBe('EIO');
    const next = begin(10);
    await turn();
    writes[1]?.();
    expect([next.went, onDisk(9), onDisk(10)]).toEqual([null, true, true]);
  });
});

describe('a bit', () => {
  async function written(e: number): Promise<void> {
    begin(e);
    await turn();
    writes.at(-1)?.();
    map.end(e, e, 'clean');
  }

  test('stays until a flush that followed the write has ended well', async () => {
    await written(5);
    const round = map.takeUnflushed();
    begin(5);
    map.end(5, 5, 'clean');
    map.settle(round, 'flushed');
    await turn();
    writes[1]?.();
    expect(onDisk(5)).toBe(true);
    map.settle(map.takeUnflushed(), 'flushed');
    await turn();
    writes.at(-1)?.();
    expect(onDisk(5)).toBe(false);
  });

  test('becomes dirty when the flush fails or the link dies', async () => {
    await written(5);
    await written(6);
    map.settle(map.takeUnflushed(), 'dirty');
    await written(7);
    map.unflushedToDirty();
    expect([5, 6, 7].map((e) => map.isDirty(e))).toEqual([true, true, true]);
    expect(map.dirtyCount).toBe(3);
  });

  test('of the last keepdirty extents stays although they are clean', async () => {
    make(2);
    for (const e of [1, 2, 3]) await written(e);
    map.settle(map.takeUnflushed(), 'flushed');
    await turn();
    writes.at(-1)?.();
    expect([1, 2, 3].map(onDisk)).toEqual([false, true, true]);
  });

  test('found on disk means dirty', () => {
    const image = Buffer.alloc(1024);
    image[1] = 0b101;
    map.load(image);
    expect([map.nextDirty(0), map.nextDirty(9), map.nextDirty(11)]).toEqual([8, 10, -1]);
    expect(dirtyBits(map, 2)).toEqual(Buffer.from([0, 0b101]));
  });
});

describe('a copy', () => {
  test('makes its extent clean, to be flushed', () => {
    map.markDirty(3);
    map.watch(3);
    expect(map.copied(3, true)).toBe(true);
    expect([map.dirtyCount, map.unflushedCount]).toEqual([0, 1]);
  });

  test('does not when a write failed in the extent meanwhile, or it was not complete', () => {
    map.markDirty(3);
    map.watch(3);
    map.markDirty(3);
    expect(map.copied(3, true)).toBe(false);
    map.watch(3);
    expect(map.copied(3, false)).toBe(false);
    expect(map.isDirty(3)).toBe(true);
  });

  test('of a stale extent makes our side good again', () => {
    map.markStale(4);
    map.watch(4);
    map.copied(4, true);
    expect([map.staleCount, map.isStale(4)]).toEqual([0, false]);
  });
});

test('what the peer lacks anyway does not become stale by our failed flush', () => {
  map.begin(2, 2, () => undefined);
  map.end(2, 2, 'clean');
  map.markDirty(2);
  map.settleLost(map.takeUnflushed(), false);
  expect([map.isStale(2), map.isDirty(2)]).toEqual([false, true]);
});

describe('an extent that only the peer has', () => {
  const afterDeath = (): [boolean, boolean, number] => {
    map.linkDied(false);
    return [map.isDirty(2), map.isStale(2), map.staleCount];
  };

  test('is ours, different from the peer’s, when the link dies before the peer has flushed it', () => {
    map.lose(2);
    const round = map.takeUnsure();
    map.keep([]);
    expect([round, map.staleCount]).toEqual([[2], 1]);
    expect(afterDeath()).toEqual([true, false, 0]);
  });

  test('stays the peer’s once that has flushed it, and when it was so before', () => {
    map.lose(2);
    map.keep(map.takeUnsure());
    map.lose(2);
    expect(map.takeUnsure()).toEqual([]);
    expect(afterDeath()).toEqual([true, true, 1]);
  });

  test('stays the peer’s when a failed flush here took what the peer’s own made durable', () => {
    begin(2);
    map.end(2, 2, 'clean');
    const round = map.takeUnflushed();
    map.lose(2);
    map.settleLost(round, true);
    expect(afterDeath()).toEqual([true, true, 1]);
  });

  test('is nothing of that when it was copied back, or is what the peer lacks', () => {
    map.lose(2);
    map.watch(2);
    map.copied(2, true);
    map.markDirty(3);
    map.lose(3);
    expect([map.takeUnsure(), map.staleCount, map.isStale(3)]).toEqual([[], 0, false]);
  });
});

describe('what both sides had when the link died, and this one had not flushed,', () => {
  beforeEach(() => {
    begin(2);
    map.end(2, 2, 'clean');
    map.linkDied(false);
  });

  test('is ours until a flush fails here, then the peer’s', () => {
    expect([map.isDirty(2), map.isStale(2)]).toEqual([true, false]);
    map.settleLost(map.takeUnflushed(), false);
    expect([map.isStale(2), map.staleCount]).toEqual([true, 1]);
  });

  test('is ours when it is flushed first, whatever fails later', () => {
    map.settle(map.takeUnflushed(), 'dirty');
    map.settleLost(map.takeUnflushed(), false);
    expect([map.isDirty(2), map.isStale(2)]).toEqual([true, false]);
  });

  test('is ours when the peer lost it meanwhile, and a flush that fails after that changes nothing', () => {
    map.meet((e) => e === 2);
    expect(map.settleLost(map.takeUnflushed(), true)).toBe(false);
    expect([map.isDirty(2), map.isStale(2)]).toEqual([true, false]);
  });

  test('counts once when a write of it failed as well', () => {
    begin(3);
    map.linkDied(false);
    map.lose(3);
    map.settleLost(map.takeUnflushed(), false);
    expect([map.staleCount, map.lostCount]).toEqual([2, 0]);
    map.meet(() => true);
    expect([map.staleCount, map.ownLost]).toEqual([0, true]);
  });

  test('is ours, too, when it is written again: then neither has all of it', () => {
    map.alone(2, 2);
    map.settleLost(map.takeUnflushed(), false);
    expect([map.isDirty(2), map.isStale(2)]).toEqual([true, false]);
  });
});

describe('after a failed local flush', () => {
  test('a write that is under way is stale when it ends, if the peer has it, and no write after it is', () => {
    begin(1, 2);
    begin(2);
    map.suspectRecent();
    expect([map.suspectCount, map.staleCount]).toEqual([2, 0]);
    expect(map.end(1, 2, 'clean')).toBe(true);
    expect([map.suspectCount, map.isStale(1), map.isStale(2)]).toEqual([1, true, true]);
    expect(map.end(2, 2, 'clean')).toBe(false);
    begin(3);
    expect(map.end(3, 3, 'clean')).toBe(false);
    expect([map.suspectCount, map.staleCount]).toEqual([0, 2]);
  });

  test('a write that the peer lacks is different, not stale', () => {
    begin(1);
    map.suspectRecent();
    expect(map.end(1, 1, 'dirty')).toBe(false);
    expect([map.suspectCount, map.isStale(1), map.isDirty(1)]).toEqual([0, false, true]);
  });

  test('what was written since it began is stale at once', () => {
    begin(1);
    map.end(1, 1, 'clean');
    map.suspectRecent();
    expect([map.isStale(1), map.unflushedCount]).toEqual([true, 0]);
  });

  test('a copy from the peer that is under way is not complete', () => {
    map.markStale(4);
    map.watch(4);
    map.suspectRecent();
    expect(map.copied(4, true)).toBe(false);
    expect(map.isStale(4)).toBe(true);
  });
});
