import { describe, expect, it } from 'vitest';
import { WriteOp, type WriteOwner } from '../../../src/replication/write-op.ts';

const IGNORED: WriteOwner = {
  onlyPeerCounts: () => false,
  settled: () => undefined,
  acknowledgedAlone: () => undefined,
  ended: () => undefined,
  localDone: () => undefined,
};

function write(mode: 'fullsync' | 'async' = 'fullsync'): WriteOp {
  return new WriteOp(IGNORED, mode, 0, Buffer.alloc(512), 2 * 1024 * 1024, () => undefined);
}

describe('the memory of a write that has ended', () => {
  it('is free when it went to the local disk only', () => {
    const op = write();
    op.local(null);
    expect(op.isFree).toBe(true);
  });

  it('is free when the peer has answered every part', () => {
    const op = write();
    op.expect(2);
    op.local(null);
    op.answered(null);
    op.answered(null);
    expect(op.isFree).toBe(true);
  });

  it.each(['fullsync', 'async'] as const)(
    'is not free in %s mode when the link died, which may still be sending it',
    (mode) => {
      const op = write(mode);
      op.expect(2);
      op.local(null);
      op.answered(null);
      op.lost();
      expect(op.isFree).toBe(false);
    },
  );

  it('is not free when the peer refused a part, which it may not have read', () => {
    const op = write();
    op.expect(1);
    op.local(null);
    op.answered('EIO');
    expect(op.isFree).toBe(false);
  });
});

describe('a write that is acknowledged after the link died', () => {
  function acknowledged(mode: 'fullsync' | 'memsync' | 'async', received: boolean): boolean {
    let alone = false;
    const owner = { ...IGNORED, acknowledgedAlone: () => (alone = true) };
    const op = new WriteOp(owner, mode, 0, Buffer.alloc(512), 2 * 1024 * 1024, () => undefined);
    op.expect(1);
    op.local(null);
    if (received) op.received();
    op.lost();
    op.answer(null);
    return alone;
  }

  it.each(['fullsync', 'memsync', 'async'] as const)('%s: is only here', (mode) => {
    expect(acknowledged(mode, false)).toBe(true);
  });

  it('is on both sides when the peer had received it and memsync asks for no more', () => {
    expect(acknowledged('memsync', true)).toBe(false);
  });
});
