import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DataListener } from '../../../../src/daemon/engine/data-listener.ts';
import { LeaseMemory } from '../../../../src/daemon/engine/lease-memory.ts';
import { EngineHandle } from '../../../../src/daemon/engine/supervise.ts';
import { connectNbd } from '../../../../src/device/nbd-initiator.ts';
import { DEFAULT_TIMING } from '../../../../src/model/timing.ts';
import type { EngineSnapshot } from '../../../../src/replication/messages.ts';
import { encodeMetadataBlock, layout } from '../../../../src/protocol/hast-metadata.ts';
import { bundleWorker } from '../../../support/interop/real-engine.ts';
import { until } from './tcp-pair.ts';

const SIZE = 8 << 20;
const EXTENT = 65536;
const EPOCH = { number: 1, id: '00000000000000aa' };
// Below those that the system gives to connections.
const PORT = 10_000 + (process.pid % 10_000);
const { localoff, datasize } = layout(SIZE, EXTENT, 512);

let directory: string;
let bundle: Awaited<ReturnType<typeof bundleWorker>>;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'hastate-two-'));
  bundle = await bundleWorker('two');
});
afterAll(() => {
  bundle.remove();
  rmSync(directory, { recursive: true });
});

interface Node {
  readonly engine: EngineHandle;
  readonly disk: string;
  readonly deaths: string[];
  inSync(): boolean;
  close(): Promise<void>;
}

async function startNode(name: string, peer: string, ip: string, peerIp: string): Promise<Node> {
  const stateDir = join(directory, name);
  mkdirSync(stateDir);
  const disk = join(stateDir, 'disk.img');
  createDisk(disk);
  const lease = new LeaseMemory();
  let seen: EngineSnapshot | null = null;
  const deaths: string[] = [];
  const engine = new EngineHandle({
    lease,
    worker: bundle.worker,
    setup: {
      resource: {
        name: 'test',
        provname: 'test',
        local: disk,
        remote: `tcp4://${peerIp}:${PORT}`,
        source: `tcp4://${ip}`,
        replication: 'memsync',
        checksum: 'crc32',
        compression: 'lzf',
        timeoutMs: 5000,
        exec: null,
        metaflush: true,
        peer,
      },
      node: name,
      boot: `00000000000000${name}`,
      timing: DEFAULT_TIMING,
      peerKind: 'hastate',
      linkKey: null,
      stateDir,
      leaseMemory: lease.buffer,
    },
    onEvent: ({ snapshot }) => (seen = snapshot ?? seen),
    onDied: (reason) => deaths.push(reason),
    onStalled: (ms) => deaths.push(`stalled for ${ms} ms`),
    onRecovered: () => undefined,
  });
  await engine.start();
  const listener = await DataListener.start({
    listen: [`tcp4://${ip}:${PORT}`],
    resources: () => [
      { name: 'test', remote: `tcp4://${peerIp}`, adopt: (connection) => engine.adopt(connection) },
    ],
  });
  return {
    engine,
    disk,
    deaths,
    inSync: () => seen?.record.inSync.length === 2 && seen.dataLinkUp,
    async close() {
      await engine.stop();
      await listener.close();
    },
  };
}

/** As `hastctl create` leaves it. */
function createDisk(path: string): void {
  const fd = openSync(path, 'w');
  const hastd = { extentsize: EXTENT, keepdirty: 64, resuid: 0n, localcnt: 0n, remotecnt: 0n } as const;
  writeSync(
    fd,
    encodeMetadataBlock({ resource: 'test', datasize, offset: localoff, prevrole: 'init', ...hastd }, null),
  );
  closeSync(fd);
  truncateSync(path, SIZE);
}

async function statusOf({ engine }: Node): Promise<string> {
  return (await engine.command({ type: 'snapshot' })).status;
}

it('two engines in their threads replicate what a client writes, over handed-over connections', async () => {
  const a = await startNode('a1', 'b2', '127.0.0.41', '127.0.0.42');
  const b = await startNode('b2', 'a1', '127.0.0.42', '127.0.0.41');
  try {
    await b.engine.command({ type: 'become-secondary' });
    await a.engine.command({ type: 'prepare-primary', epoch: EPOCH, inSync: ['a1', 'b2'] });
    const primary = await a.engine.command({ type: 'become-primary', epoch: EPOCH });
    let status = '';
    const asking = setInterval(() => void statusOf(a).then((now) => (status = now)), 20);
    await until(() => status === 'complete').finally(() => clearInterval(asking));

    const client = await connectNbd({ socketPath: primary.export?.socket ?? '', exportName: 'test' });
    const blocks = Array.from({ length: 300 }, (_, i) => Buffer.alloc(4096, i % 7 === 0 ? 0 : `block ${i} `));
    await Promise.all(blocks.map((block, i) => client.write(i * 8192, block)));
    await client.flush();
    expect((await client.read(8 * 8192, 4096)).equals(blocks[8] ?? Buffer.alloc(0))).toBe(true);
    await client.disconnect();
    // On a slow machine it went on alone before the link was there: then the rest is being copied.
    await until(() => a.inSync());
    await a.engine.command({ type: 'release', handover: false });
  } finally {
    await a.close();
    await b.close();
  }
  expect([...a.deaths, ...b.deaths]).toEqual([]);
  const written = readFileSync(b.disk).subarray(localoff);
  expect(written.equals(readFileSync(a.disk).subarray(localoff))).toBe(true);
  expect(written.indexOf('block 299 ')).toBe(299 * 8192);
});
