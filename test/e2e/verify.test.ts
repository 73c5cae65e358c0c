import { open } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { VerifyResult } from '../../src/protocol/control.ts';
import { differences, journalOf, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';

const PLACE = 3 * 1024 * 1024 + 5;

describe('hastate verify on a running pair', { timeout: 60_000 }, () => {
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.make();
  });
  afterEach(() => lab.close());

  const verify = async (...options: string[]): Promise<{ code: number; result: VerifyResult }> => {
    // Asked where the resource is secondary: the primary does it.
    const ran = await lab.hastate('hastb', '--json', 'verify', 'disk1', '--wait', ...options);
    expect(ran.stderr).toBe('');
    return { code: ran.code, result: JSON.parse(ran.stdout) as VerifyResult };
  };

  it('finds a byte that changed on the disk of the peer, tells where, and repairs it on the word --repair', async () => {
    const { hasta, hastb } = await lab.startPair();
    await untilPaired({ primary: hasta, standby: hastb });
    const equal = await verify('--rate', '0');
    expect(equal.code).toBe(0);
    expect(equal.result).toMatchObject({ node: 'hasta', verify: { state: 'done', differences: 0 } });

    await flip(lab.places.hastb.disk('disk1'), PLACE);
    const found = await verify();
    expect(found.code).not.toBe(0);
    expect(found.result.verify).toMatchObject({ state: 'done', differences: 1, repairedBytes: 0 });
    const [range] = found.result.verify?.ranges ?? [];
    const told = (await journalOf(hasta)).filter(({ kind }) => kind === 'engine.verify-difference');
    expect(told).toMatchObject([{ level: 'error', data: { offset: range?.offset, length: range?.length } }]);
    const listed = JSON.parse((await lab.hastate('hasta', '--json', 'list', 'disk1')).stdout) as unknown;
    expect(listed).toMatchObject([{ verify: { differences: 1 }, dirtyBytes: 0 }]);

    const repaired = await verify('--repair');
    expect(repaired.code).toBe(0);
    expect(repaired.result.verify).toMatchObject({ differences: 1, repairedBytes: range?.length });
    await hasta.stop();
    await hastb.stop();
    expect(await differences(lab.places.hasta.disk('disk1'), lab.places.hastb.disk('disk1'))).toEqual([]);
  });
});

async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ 1;
    await file.write(byte, 0, 1, at);
    await file.sync();
  } finally {
    await file.close();
  }
}
