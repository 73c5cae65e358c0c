/**
 * Real `hastated` processes on loopback: one alone with `remote none`, or a pair in sync. Each
 * measure has its own directory, and closes what it opened.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { controlClient } from '../build/src/cli/client.js';

const DIST = fileURLToPath(new URL('../dist/src/', import.meta.url));
const HASTATED = join(DIST, 'daemon/main.js');
const HASTATE = join(DIST, 'cli/main.js');
const NODES = ['alpha', 'beta'];
const READY_MS = 60_000;
const STOP_MS = 20_000;
const POLL_MS = 100;

/** A port that was free a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** An empty file of that size whose blocks are allocated. */
export async function makeFile(path, bytes) {
  const file = await open(path, 'w', 0o600);
  const chunk = Buffer.alloc(4 * 1024 * 1024, 0x5a);
  for (let at = 0; at < bytes; at += chunk.length)
    await file.write(chunk, 0, Math.min(chunk.length, bytes - at), at);
  await file.sync();
  await file.close();
}

function hastConf(setup, directory, ports) {
  const lines = [`replication ${setup.replication}`, 'checksum none', 'compression none', 'timeout 20'];
  const nodes = NODES.slice(0, setup.nodes);
  for (const [index, node] of nodes.entries()) {
    lines.push(`on ${node} {`, `  control ${join(directory, node, 'control')}`);
    lines.push(`  pidfile ${join(directory, node, 'pid')}`, `  listen tcp4://127.0.0.1:${ports[index]}`, '}');
  }
  for (const resource of setup.resources) {
    lines.push(`resource ${resource} {`);
    for (const [index, node] of nodes.entries()) {
      const remote = setup.nodes === 1 ? 'none' : `tcp4://127.0.0.1:${ports[1 - index]}`;
      lines.push(`  on ${node} {`, `    local ${setup.disk(node, resource)}`, `    remote ${remote}`, '  }');
    }
    lines.push('}');
  }
  return `${lines.join('\n')}\n`;
}

function hastateYaml(setup, directory, peers) {
  return [
    'nodes:',
    ...NODES.map((node, index) => `  ${node}: { peer: '127.0.0.1:${peers[index]}' }`),
    // What ours is compared with is not encrypted either.
    setup.encrypted ? `secret-file: ${join(directory, 'secret')}` : 'insecure: true',
    `hooks-dir: ${join(directory, 'hooks')}`,
    'visualizer: false',
    // Room for a machine whose cores are taken: no measure is about failing over.
    'timing: { promotion-delay: 5s, slack: 500ms }',
    'groups:',
    `  bench: { prefer: alpha, device: none, resources: [${setup.resources.join(', ')}] }`,
    '',
  ].join('\n');
}

class Node {
  #child = null;
  #ended = Promise.resolve();

  constructor(name, args, log, execArgv) {
    Object.assign(this, { name, args, log, execArgv });
  }

  get pid() {
    return this.#child.pid;
  }

  start() {
    // As the shipped units start it.
    const env = { UV_THREADPOOL_SIZE: '16', ...process.env };
    const output = openSync(this.log, 'a', 0o600);
    const words = [...this.execArgv, HASTATED, '-F', ...this.args, '--stop-at-eof'];
    this.#child = spawn(process.execPath, words, { stdio: ['pipe', output, output], env });
    closeSync(output);
    this.#ended = new Promise((resolve) => this.#child.once('exit', resolve));
  }

  async stop() {
    if (this.#child === null) return;
    const child = this.#child;
    this.#child = null;
    child.kill('SIGTERM');
    const ended = this.#ended.then(() => true);
    if (!(await Promise.race([ended, pause(STOP_MS, false, { ref: false })]))) child.kill('SIGKILL');
    await this.#ended;
  }
}

/**
 * @param setup.parent directory to make ours in, e.g. /dev/shm for disks in memory
 * @param setup.nodes 1 or 2
 * @param setup.diskBytes of each local component
 * @param setup.encrypted the data link and the peer channel by TLS; default false
 * @param setup.create further arguments of `hastate create`
 */
export async function startNodes(given) {
  const directory = await mkdtemp(join(given.parent, 'hastate-bench-'));
  const setup = {
    replication: 'fullsync',
    resources: ['disk'],
    create: [],
    encrypted: false,
    disk: (node, resource) => join(directory, node, `${resource}.img`),
    ...given,
  };
  const names = NODES.slice(0, setup.nodes);
  const ports = [await freePort(), await freePort()];
  const conf = join(directory, 'hast.conf');
  const yaml = join(directory, 'hastate.yaml');
  await mkdir(join(directory, 'hooks'));
  await writeFile(join(directory, 'secret'), `${'a5'.repeat(32)}\n`, { mode: 0o600 });
  await writeFile(conf, hastConf(setup, directory, ports));
  if (setup.nodes === 2) {
    await writeFile(yaml, hastateYaml(setup, directory, [await freePort(), await freePort()]));
  }
  const files = setup.nodes === 2 ? ['-c', conf, '-C', yaml] : ['-c', conf];
  const run = (node, ...args) =>
    execFileSync(process.execPath, [HASTATE, ...files, '-n', node, ...args], {
      encoding: 'utf8',
      timeout: READY_MS,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const nodes = [];
  for (const name of names) {
    await mkdir(join(directory, name, 'state'), { recursive: true });
    for (const resource of setup.resources) await makeFile(setup.disk(name, resource), setup.diskBytes);
    run(name, 'create', ...setup.create, ...setup.resources);
    const args = ['-n', name, ...files, '--state-dir', join(directory, name, 'state')];
    const execArgv = (process.env.HASTATE_BENCH_NODE ?? '').split(' ').filter(Boolean);
    nodes.push(new Node(name, args, join(directory, name, 'log'), execArgv));
  }
  const control = controlClient(join(directory, 'alpha', 'control'));
  const resources = async () => (await control.request('status', {}, READY_MS)).resources;
  const pair = {
    directory,
    nodes,
    disk: setup.disk,
    pids: () => nodes.map(({ pid }) => pid),
    socket: (resource = 'disk') => join(directory, 'alpha', 'state', 'nbd', `${resource}.sock`),
    /** What the first node's status says of its first resource. */
    resource: async () => (await resources())[0],
    async until(reached, what) {
      const deadline = performance.now() + READY_MS;
      for (;;) {
        try {
          if (reached(await resources())) return;
        } catch {
          // It is not listening yet.
        }
        if (performance.now() > deadline) {
          throw new Error(`not ${what} in ${READY_MS} ms:\n${readFileSync(nodes[0].log, 'utf8')}`);
        }
        await pause(POLL_MS);
      }
    },
    async close() {
      await Promise.all(nodes.map((node) => node.stop()));
      await rm(directory, { recursive: true, force: true });
    },
  };
  try {
    for (const node of nodes) node.start();
    if (setup.nodes === 1) {
      await pair.until(() => {
        // Refused while it starts.
        run('alpha', 'role', 'primary', ...setup.resources);
        return true;
      }, 'primary');
    }
    await pair.until(
      (list) => list.length > 0 && list.every((one) => isReady(one, setup.nodes)),
      'primary and in sync',
    );
    return pair;
  } catch (error) {
    await pair.close();
    throw error;
  }
}

function isReady(resource, nodes) {
  if (resource.role !== 'primary') return false;
  return (
    nodes === 1 ||
    (resource.status === 'complete' && resource.sync === null && resource.record.inSync.length === 2)
  );
}
