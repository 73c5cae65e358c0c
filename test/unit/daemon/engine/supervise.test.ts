import { build } from 'esbuild';
import { once } from 'node:events';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readlinkSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { LeaseMemory } from '../../../../src/daemon/engine/lease-memory.ts';
import { EngineHandle, STALLED_MS } from '../../../../src/daemon/engine/supervise.ts';
import { connectNbd } from '../../../../src/device/nbd-initiator.ts';
import { DEFAULT_TIMING } from '../../../../src/model/timing.ts';
import type { EngineEvent, EngineSetup } from '../../../../src/replication/messages.ts';
import { tcpPair, until, written } from './tcp-pair.ts';

const EPOCH = { number: 3, id: '00000000000000ab' };
/** Inside the checkout, so that the optional packages are found from there. */
const built = join(import.meta.dirname, '../../../../node_modules/.cache/hastate-tests', String(process.pid));
const worker = pathToFileURL(join(built, 'worker.mjs'));
let directory: string;
let disk: string;
let heard: { events: EngineEvent[]; deaths: string[]; stalls: number[]; recoveries: number };
let handle: EngineHandle;
let lease: LeaseMemory;

beforeAll(async () => {
  mkdirSync(built, { recursive: true });
  await build({
    entryPoints: [join(import.meta.dirname, '../../../fixtures/engine/scripted-worker.ts')],
    outfile: join(built, 'worker.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
  });
});
afterAll(() => rmSync(built, { recursive: true }));
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hastate-engine-'));
  disk = join(directory, 'disk.img');
  writeFileSync(disk, '');
  truncateSync(disk, 1 << 20);
  lease = new LeaseMemory();
  heard = { events: [], deaths: [], stalls: [], recoveries: 0 };
  handle = engine();
});
afterEach(async () => {
  await handle.stop();
  rmSync(directory, { recursive: true });
});

function engine(over: { local?: string; boot?: string; stateDir?: string; worker?: URL } = {}): EngineHandle {
  const setup: EngineSetup = {
    resource: {
      name: 'disk1',
      provname: 'disk1',
      local: over.local ?? disk,
      remote: null,
      source: null,
      replication: 'memsync',
      checksum: 'none',
      compression: 'hole',
      timeoutMs: 20_000,
      exec: null,
      metaflush: true,
      peer: null,
    },
    node: 'hast1',
    boot: over.boot ?? '0000000000000001',
    timing: DEFAULT_TIMING,
    peerKind: 'hastate',
    linkKey: null,
    stateDir: over.stateDir ?? directory,
    leaseMemory: lease.buffer,
  };
  return new EngineHandle({
    setup,
    lease,
    worker: over.worker ?? worker,
    onEvent: (event) => heard.events.push(event),
    onDied: (reason) => heard.deaths.push(reason),
    onStalled: (ms) => heard.stalls.push(ms),
    onRecovered: () => heard.recoveries++,
  });
}
const openFiles = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });

describe('an engine in its thread', () => {
  it('opens, answers and stops, and shares the lease memory', async () => {
    expect((await handle.start()).datasize).toBe(1 << 20);
    expect(heard.events.map(({ message }) => message)).toEqual(['disk1']);
    expect(handle.running).toBe(true);
    lease.heard('peerChannel', 77);
    expect((await handle.command({ type: 'snapshot' })).held).toBe('77');
    await handle.stop();
    await handle.stop();
    expect(handle.running).toBe(false);
    expect(heard.deaths).toEqual([]);
    expect(lease.claimSlot()).toBe(0);
    lease.releaseSlot(0);
    await handle.start();
  });

  it('says by code why a command was refused', async () => {
    await handle.start();
    await expect(handle.command({ type: 'become-secondary' })).rejects.toMatchObject({
      code: 'wrong-role',
      message: 'not from here',
    });
    await expect(handle.start()).rejects.toMatchObject({ code: 'engine-running' });
  });

  it('reports why it did not open, as no death', async () => {
    await expect(engine({ local: join(directory, 'gone') }).start()).rejects.toMatchObject({
      code: 'disk-missing',
    });
    await expect(engine({ boot: 'refuse' }).start()).rejects.toMatchObject({ code: 'scripted-refusal' });
    const nowhere = pathToFileURL(join(directory, 'missing.mjs'));
    await expect(engine({ worker: nowhere }).start()).rejects.toMatchObject({ code: 'engine-died' });
    expect(heard.deaths).toEqual([]);
    expect(lease.claimSlot()).toBe(0);
  });

  it('dies as an event: commands under way fail, the disk is free, and it can start again', async () => {
    await handle.start();
    const forever = handle.command({ type: 'peer-epoch', epoch: EPOCH });
    const crash = handle.command({ type: 'outdate', epoch: EPOCH });
    await expect(forever).rejects.toMatchObject({ code: 'engine-died' });
    await expect(crash).rejects.toMatchObject({ code: 'engine-died' });
    expect(heard.deaths).toEqual(['scripted crash']);
    await expect(handle.command({ type: 'snapshot' })).rejects.toMatchObject({ code: 'engine-died' });
    expect(openFiles()).not.toContain(disk);
    await handle.start();
  });

  it('does not let a caller wait longer than he wants', async () => {
    await handle.start();
    const command = { type: 'peer-epoch', epoch: EPOCH } as const;
    await expect(handle.command(command, { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'engine-timeout',
    });
    const abort = new AbortController();
    const waiting = handle.command(command, { signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'engine-aborted' });
    await expect(handle.command(command, { signal: abort.signal })).rejects.toMatchObject({
      code: 'engine-aborted',
    });
    expect(handle.running).toBe(true);
  });

  it('is seen to hang and to recover, and can be ended while it hangs', async () => {
    await handle.start();
    const hanging = handle.command({ type: 'unrelease' });
    await until(() => heard.stalls.length > 0);
    expect(heard.stalls[0]).toBeGreaterThan(STALLED_MS);
    expect(handle.stalled).toBe(true);
    await hanging;
    await until(() => heard.recoveries === 1);
    expect(heard.stalls).toHaveLength(1);
    const again = handle.command({ type: 'unrelease' }).catch((error: unknown) => error);
    await handle.kill();
    expect(await again).toMatchObject({ code: 'engine-died' });
    expect(heard.deaths).toHaveLength(1);
  });

  it('is given up where it hangs inside a system call, and does not come back before that has returned', async () => {
    await handle.start();
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const hanging = handle.command({ type: 'snapshot' }).catch((error: unknown) => error);
    await until(() => handle.stalled);
    await handle.kill();
    expect(await hanging).toMatchObject({ code: 'engine-died' });
    expect([handle.running, heard.deaths]).toEqual([false, ['it hangs inside its disk and was given up']]);
    await expect(handle.start()).rejects.toMatchObject({ code: 'engine-hangs' });
    closeSync(openSync(fifo, 'w'));
    rmSync(fifo);
    await vi.waitFor(() => handle.start(), { timeout: 10_000, interval: 20 });
    expect(heard.deaths).toHaveLength(1);
    await handle.stop();
  });

  it('serves its export on a private socket of the state directory, for one epoch', async () => {
    await handle.start();
    const { export: exported } = await handle.command({ type: 'become-primary', epoch: EPOCH });
    expect(exported).toEqual({ socket: join(directory, 'nbd/disk1.sock'), name: 'disk1', sectorBytes: 512 });
    const socketPath = exported?.socket ?? '';
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    const client = await connectNbd({ socketPath, exportName: 'disk1' });
    await client.disconnect();
    await expect(connectNbd({ socketPath, exportName: 'disk1@2-00000000000000ab' })).rejects.toThrow();
    await handle.command({ type: 'release', handover: false });
    await expect(connectNbd({ socketPath, exportName: 'disk1' })).rejects.toThrow();
  });

  it('names the socket path that is too long', async () => {
    const stateDir = join(directory, 'd'.repeat(90));
    const deep = engine({ stateDir });
    await deep.start();
    await expect(deep.command({ type: 'become-primary', epoch: EPOCH })).rejects.toMatchObject({
      message: expect.stringContaining(join(stateDir, 'nbd/disk1.sock')) as string,
    });
    await deep.stop();
  });
});

describe('a connection for an engine', () => {
  it('goes on in its thread', async () => {
    const pair = await tcpPair();
    await handle.start();
    const answers: Buffer[] = [];
    pair.far.on('data', (chunk: Buffer) => answers.push(chunk));
    handle.adopt({ socket: pair.near, head: Buffer.from('first frame,'), remoteAddress: '127.0.0.1' });
    const big = Buffer.alloc(1_000_000, 'x');
    await written(pair.far, big);
    const expected = `127.0.0.1 first frame,${big.toString()}`;
    await until(() => Buffer.concat(answers).length === expected.length);
    expect(Buffer.concat(answers).toString()).toBe(expected);
    pair.far.end();
    await until(() => heard.events.some(({ kind }) => kind === 'disconnected'));
    pair.close();
  });

  it('ends with its thread', async () => {
    const pair = await tcpPair();
    await handle.start();
    handle.adopt({ socket: pair.near, head: Buffer.from('x'), remoteAddress: '127.0.0.1' });
    await once(pair.far, 'data');
    const ended = once(pair.far, 'close');
    pair.far.resume();
    await handle.kill();
    await ended;
    expect(heard.deaths).toHaveLength(1);
    pair.close();
  });

  it('is closed when no engine runs', async () => {
    const pair = await tcpPair();
    handle.adopt({ socket: pair.near, head: Buffer.from('x'), remoteAddress: '127.0.0.1' });
    pair.far.resume();
    await once(pair.far, 'close');
    pair.close();
  });

  it('does not leak when the engine dies before it took it', async () => {
    await handle.start();
    const hanging = handle.command({ type: 'unrelease' }).catch(() => undefined);
    const pair = await tcpPair();
    handle.adopt({ socket: pair.near, head: Buffer.from('x'), remoteAddress: '127.0.0.1' });
    const ended = once(pair.far, 'close');
    pair.far.resume();
    await handle.kill();
    await ended;
    await hanging;
    pair.close();
  });
});
