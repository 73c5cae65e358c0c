/**
 * A local disk that fails, fills up, slows down or hangs under a serving pair: the peer has the data, so the
 * application notices nothing; journal and status tell it. The disk is served by nbdkit with its filters.
 */
import { writeFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';

import { connectNbd } from '../../src/device/nbd-initiator.ts';
import { runCommand } from '../../src/device/run-command.ts';
import { groupOf, type LabDaemon, resourceOf } from '../support/daemon.ts';
import { FAULTY_DISK_NEEDS, FaultyDisk } from '../support/faulty-disk.ts';
import { Lab, makeDisk } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { StampedClients } from '../support/stamped-clients.ts';

const MIB = 1024 * 1024;
const block = (byte: number): Buffer => Buffer.alloc(65536, byte);

const lacking = needs(...FAULTY_DISK_NEEDS);

/** Two programs and two daemons come up for each. ms */
const LONG = { timeout: 60_000 };

describe.skipIf(lacking)('a serving primary whose disk', LONG, () => {
  let lab: Lab | null = null;
  let disk: FaultyDisk | null = null;
  let clients: StampedClients | null = null;
  afterEach(async () => {
    await clients?.stop();
    // A hung disk holds its daemon: the disk goes first.
    await disk?.close();
    await lab?.close();
    lab = disk = clients = null;
  });

  /** hasta serves from this disk, hastb is in sync. */
  async function serve(
    filters: readonly string[],
    parameters: (trigger: string) => string[],
  ): Promise<{ hasta: LabDaemon; hastb: LabDaemon; disk: FaultyDisk }> {
    const faulty = (disk = await FaultyDisk.make(filters, parameters));
    const made = (lab = await Lab.make({ create: false }));
    await makeDisk(made.places.hastb.disk('disk1'), 8);
    await made.edit(made.hastConf, (text) => text.replace(made.places.hasta.disk('disk1'), faulty.path));
    for (const node of ['hasta', 'hastb'] as const) {
      const ran = await made.hastate(node, 'create', 'disk1');
      expect([ran.code, ran.stderr]).toEqual([0, '']);
    }
    return { ...(await made.startPair()), disk: faulty };
  }

  async function client(daemon: LabDaemon) {
    const offered = resourceOf(await daemon.status(), 'disk1').export;
    if (offered === null) throw new Error('nothing is exported');
    return connectNbd({ socketPath: offered.socket, exportName: offered.name });
  }

  /** The group does not move by itself. */
  const stay = (daemon: LabDaemon): Promise<unknown> =>
    daemon.request('maintenance', { group: 'storage', reason: 'a look at what it does' });

  const toldBy = async (daemon: LabDaemon, text: string): Promise<void> => {
    await daemon.until(`telling that ${text}`, (status) =>
      (resourceOf(status, 'disk1').error ?? '').includes(text),
    );
    expect((await daemon.logged(text)).length).toBeGreaterThan(0);
  };

  it.each([
    ['fails to write', 'EIO'],
    ['is full', 'ENOSPC'],
  ])('%s: the peer has the data, so the write succeeds and can be read; it is told', async (_, error) => {
    const pair = await serve(['error'], (trigger) => [
      ...[`error-pwrite=${error}`, 'error-pwrite-rate=100%', `error-pwrite-file=${trigger}`],
    ]);
    await stay(pair.hasta);
    const nbd = await client(pair.hasta);
    await nbd.write(0, block(1));
    await writeFile(pair.disk.trigger, '');
    await nbd.write(0, block(2));
    expect((await nbd.read(0, 65536)).equals(block(2))).toBe(true);
    await toldBy(pair.hasta, `local write failed: ${error}`);
    await pair.hastb.until('named as the one with everything', (status) =>
      (resourceOf(status, 'disk1').record?.inSync ?? []).includes('hastb'),
    );
    await nbd.disconnect().catch(() => undefined);
  });

  it('fails to read: the peer answers, and it is told', async () => {
    const pair = await serve(['error'], (trigger) => [
      ...['error-pread=EIO', 'error-pread-rate=100%', `error-pread-file=${trigger}`],
    ]);
    const nbd = await client(pair.hasta);
    await nbd.write(0, block(3));
    await writeFile(pair.disk.trigger, '');
    // What the kernel still has in its cache needs no disk.
    await runCommand(['dd', `if=${pair.disk.path}`, 'iflag=nocache', 'count=0', 'status=none'], {
      timeoutMs: 5000,
    });
    expect((await nbd.read(0, 65536)).equals(block(3))).toBe(true);
    expect((await nbd.read(4 * MIB, 65536)).equals(Buffer.alloc(65536))).toBe(true);
    await toldBy(pair.hasta, 'local read failed: EIO');
    await nbd.disconnect().catch(() => undefined);
  });

  it('hangs: that is told, the other node takes over, and it comes back in sync when it works again', async () => {
    const { hasta, hastb, disk: hung } = await serve([], () => []);
    const nbd = await client(hasta);
    for (let at = 0; at < 8; at++) await nbd.write(at * 65536, block(5));
    hung.hang();
    const waiting = Array.from({ length: 8 }, (_, at) =>
      nbd.write(at * 65536, block(6)).then(
        () => at,
        () => null,
      ),
    );
    await hasta.until('telling it', (status) => resourceOf(status, 'disk1').error !== null);
    // The second where the engine's own thread waits for the disk.
    const told = await hasta.logged(/the local disk has answered nothing|the engine does not move/);
    expect(told.length).toBeGreaterThan(0);
    await hastb.untilPrimary('storage', 20_000);
    // Who was told that its write is there finds it, who was not may.
    const kept = await Promise.all(waiting);
    const taker = await client(hastb);
    for (const [at, wrote] of kept.entries()) {
      const found = (await taker.read(at * 65536, 65536))[0];
      expect(wrote === null ? [5, 6] : [6]).toContain(found);
    }
    expect(groupOf(await hasta.status(), 'storage').role).not.toBe('primary');
    await expect(client(hasta)).rejects.toThrow('nothing is exported');
    hung.goOn();
    await hasta.until('in sync again, and nothing wrong', (status) => {
      const { error, freshness } = resourceOf(status, 'disk1');
      return error === null && freshness.kind === 'inSync';
    });
    await taker.disconnect();
  });

  it('vanishes: the peer answers for all of it until the group moves there, when it may; nothing is lost, and it is told', async () => {
    const { hasta, hastb, disk: lost } = await serve([], () => []);
    await stay(hasta);
    const stamped = (clients = new StampedClients([hasta, hastb], 'disk1', { flushEvery: 16 }).start());
    await stamped.more('hasta');
    lost.vanish();
    const nbd = await client(hasta);
    // Extents that nobody wrote to before, so that their bits are not on the disk.
    for (const at of [4 * MIB, 6 * MIB]) await nbd.write(at, block(8));
    await nbd.flush();
    expect((await nbd.read(4 * MIB, 65536)).equals(block(8))).toBe(true);
    await stamped.more('hasta');
    await toldBy(hasta, 'local disk given up: every extent may differ; hastb has everything');
    expect(groupOf(await hasta.status(), 'storage').state).toBe('primary.serving');
    expect(resourceOf(await hastb.status(), 'disk1').record?.inSync).toEqual(['hastb']);
    await nbd.disconnect();

    await hasta.request('maintenance', { group: 'storage', reason: null });
    await hastb.untilPrimary('storage', 20_000);
    await stamped.more('hastb');
    await stamped.stop();
    expect([await stamped.lostOn(hastb), stamped.stale, stamped.served()]).toEqual([
      [],
      [],
      ['hasta', 'hastb'],
    ]);
    const taker = await client(hastb);
    expect((await taker.read(6 * MIB, 65536)).equals(block(8))).toBe(true);
    await taker.disconnect();
    await hasta.until('without that disk', (status) =>
      (resourceOf(status, 'disk1').error ?? '').includes(lost.path),
    );
    expect(resourceOf(await hastb.status(), 'disk1').record?.inSync).toEqual(['hastb']);
  });

  it('is slow: everything arrives, later', async () => {
    const pair = await serve(['delay'], () => ['wdelay=100ms']);
    const nbd = await client(pair.hasta);
    await nbd.write(0, block(4));
    expect((await nbd.read(0, 65536)).equals(block(4))).toBe(true);
    expect(groupOf(await pair.hasta.status(), 'storage').state).toBe('primary.serving');
    await nbd.disconnect();
  });
});
