/**
 * A secondary whose engine stands still inside a system call of its disk: its file system is frozen, so that the call
 * neither returns nor can be ended. Its node is heard all the time, and gives its primary the word that it needs (A3).
 */
import { afterEach, describe, expect, it } from 'vitest';

import { connectNbd } from '../../src/device/nbd-initiator.ts';
import { resourceOf } from '../support/daemon.ts';
import { journalOf } from '../support/failover.ts';
import { FREEZABLE_NEEDS, FreezableDirectory, labOn } from '../support/freezable-directory.ts';
import { needs } from '../support/needs.ts';

const BLOCK = 4096;
const block = (byte: number): Buffer => Buffer.alloc(BLOCK, byte);

describe.skipIf(needs(...FREEZABLE_NEEDS))('a secondary whose engine hangs', () => {
  const undo: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const action of undo.splice(0).reverse()) await action();
  });

  it('inside its disk is recorded as outdated, the primary goes on, and it is resynced when the disk answers', async () => {
    const place = await FreezableDirectory.make();
    undo.push(() => place.close());
    const lab = await labOn(place, 8);
    undo.push(() => lab.close());
    undo.push(() => place.thaw());
    const { hasta, hastb } = await lab.startPair();
    const offered = resourceOf(await hasta.status(), 'disk1').export;
    const nbd = await connectNbd({ socketPath: offered?.socket ?? '', exportName: offered?.name ?? '' });
    // A disk that was quick is written to by the engine's own thread.
    for (let n = 0; n < 200; n++) await nbd.write((n % 8) * BLOCK, block(1));

    await place.freeze();
    await nbd.write(0, block(2));
    expect(resourceOf(await hasta.status(), 'disk1').record?.inSync).toEqual(['hasta']);
    const told = (await journalOf(hastb)).map(({ kind }) => kind);
    expect(told).toEqual(expect.arrayContaining(['engine.stalled', 'engine.died', 'peer.outdated']));
    expect(resourceOf(await hastb.status(), 'disk1').freshness.kind).not.toBe('inSync');

    await place.thaw();
    await hastb.until('in sync again', (status) => resourceOf(status, 'disk1').freshness.kind === 'inSync');
    await nbd.disconnect();
  });
});
