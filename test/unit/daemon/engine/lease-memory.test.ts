import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { LeaseMemory, MAX_ENGINES } from '../../../../src/daemon/engine/lease-memory.ts';

describe('lease memory', () => {
  it('knows nothing at first', () => {
    const memory = new LeaseMemory();
    expect(memory.aliveAt()).toBe(-Infinity);
    expect(memory.heardAt()).toBe(-Infinity);
    expect(memory.heardAt('adverts')).toBe(-Infinity);
    expect(memory.peerEpochNumber()).toBe(0);
  });

  it('keeps the latest of each, whatever comes later', () => {
    const memory = new LeaseMemory();
    const port = memory.port();
    memory.heard('peerChannel', 500.25);
    port.heard(400);
    expect(port.heardAt()).toBe(500.25);
    expect(memory.heardAt('dataLink')).toBe(400);
    port.renew(700);
    port.renew(650);
    expect(port.aliveAt()).toBe(700);
    memory.showEpoch(9);
    memory.showEpoch(8);
    expect(port.peerEpochNumber()).toBe(9);
  });

  it('never makes evidence younger than it was', () => {
    const memory = new LeaseMemory();
    memory.renew(100.000_999_9);
    expect(memory.aliveAt()).toBeLessThanOrEqual(100.000_999_9);
    memory.renew(-Infinity);
    memory.renew(NaN);
    expect(memory.aliveAt()).toBe(100);
  });

  it('forgets what a former boot of the peer said, but not its epoch', () => {
    const memory = new LeaseMemory();
    memory.heard('dataLink', 5);
    memory.renew(5);
    memory.showEpoch(3);
    memory.forgetPeer();
    expect([memory.heardAt(), memory.aliveAt(), memory.peerEpochNumber()]).toEqual([-Infinity, -Infinity, 3]);
  });

  it('gives each engine a slot of its own, and again when it is given back', () => {
    const memory = new LeaseMemory();
    const first = memory.claimSlot() ?? -1;
    const second = memory.claimSlot() ?? -1;
    expect(second).not.toBe(first);
    expect(memory.beatAt(first)).toBe(-Infinity);
    memory.beat(first, 42);
    expect([memory.beatAt(first), memory.beatAt(second)]).toEqual([42, -Infinity]);
    memory.releaseSlot(first);
    expect(memory.claimSlot()).toBe(first);
    while (memory.claimSlot() !== null);
    expect(memory.claimSlot()).toBeNull();
    memory.releaseSlot(MAX_ENGINES - 1);
    expect(memory.claimSlot()).toBe(MAX_ENGINES - 1);
  });

  it('is seen by a thread that shares the buffer, while this one does nothing', async () => {
    const memory = new LeaseMemory();
    memory.renew(1234.5);
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      parentPort.postMessage(Array.from(new BigInt64Array(workerData).subarray(0, 5)));`;
    const worker = new Worker(source, { eval: true, workerData: memory.buffer });
    expect(await once(worker, 'message')).toEqual([[0n, 0n, 0n, 1_234_500n, 0n]]);
    expect(new LeaseMemory(memory.buffer).aliveAt()).toBe(1234.5);
  });
});
