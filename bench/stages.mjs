/** What a measure needs running: our node or nodes, and the peer that they are compared with. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, makeFile, startNodes } from './nodes.mjs';
import { cpuUs, serve } from './process.mjs';

export const MEMORY = '/dev/shm';
/** Not /tmp where that is in memory. */
export const DISK = process.env.HASTATE_BENCH_DISK ?? tmpdir();
export const MIB = 1024 * 1024;

/** Room for what is not ours at the start of a component. */
const METADATA_ROOM = 4 * MIB;

/** One who serves an export: `socket`, `export`, `pids`. */
function side(socket, name, pids) {
  return { socket, name, pids };
}

/** Our node without a peer, and nbdkit's file plugin, each on a file of its own in `parent`. */
export async function localStage(parent, bytes, more = {}) {
  const nodes = await startNodes({ parent, nodes: 1, diskBytes: bytes + METADATA_ROOM, ...more });
  const file = join(nodes.directory, 'peer.img');
  const socket = join(nodes.directory, 'peer.sock');
  try {
    await makeFile(file, bytes);
    const nbdkit = await serve(socket, 'nbdkit', '-f', '-U', socket, 'file', file);
    return {
      ours: side(nodes.socket(), 'disk', nodes.pids()),
      peer: side(socket, '', [nbdkit.pid]),
      files: { ours: nodes.disk('alpha', 'disk'), peer: file },
      async close() {
        await nbdkit.close();
        await nodes.close();
      },
    };
  } catch (error) {
    await nodes.close();
    throw error;
  }
}

/** Two of our nodes that are in sync. */
export async function pairStage(parent, bytes, more = {}) {
  const nodes = await startNodes({ parent, nodes: 2, diskBytes: bytes + METADATA_ROOM, ...more });
  return { nodes, ours: side(nodes.socket(), 'disk', nodes.pids()), close: () => nodes.close() };
}

/** qemu-storage-daemon that writes to a local file and, over TCP, to nbdkit, and waits for both. */
export async function quorumStage(parent, bytes) {
  const directory = await mkdtemp(join(parent, 'hastate-bench-'));
  const port = await freePort();
  const [near, far] = [join(directory, 'near.img'), join(directory, 'far.img')];
  const socket = join(directory, `${randomBytes(4).toString('hex')}.sock`);
  await makeFile(near, bytes);
  await makeFile(far, bytes);
  const servers = [];
  const close = async () => {
    for (const server of servers.reverse()) await server.close();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const pidfile = join(directory, 'nbdkit.pid');
    servers.push(
      await serve(pidfile, 'nbdkit', '-f', '-P', pidfile, '-i', '127.0.0.1', '-p', port, 'file', far),
    );
    servers.push(
      await serve(
        socket,
        'qemu-storage-daemon',
        '--blockdev',
        `driver=file,node-name=near,filename=${near}`,
        '--blockdev',
        `driver=nbd,node-name=far,server.type=inet,server.host=127.0.0.1,server.port=${port}`,
        '--blockdev',
        'driver=quorum,node-name=mirror,vote-threshold=2,children.0=near,children.1=far',
        '--nbd-server',
        `addr.type=unix,addr.path=${socket}`,
        '--export',
        'type=nbd,id=mirror,node-name=mirror,name=disk,writable=on',
      ),
    );
    return {
      peer: side(
        socket,
        'disk',
        servers.map(({ pid }) => pid),
      ),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Runs `work` and closes the stages, whatever happens. */
export async function on(stages, work) {
  const open = [];
  try {
    for (const make of stages) open.push(await make());
    return await work(...open);
  } finally {
    for (const stage of open.reverse()) await stage.close();
  }
}

/** What `work` cost the processes. @returns its result with `cpuUs` */
export async function withCpu(pids, work) {
  const before = cpuUs(pids);
  const result = await work();
  return { ...result, cpuUs: cpuUs(pids) - before };
}
