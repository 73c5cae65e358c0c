/** A command line that runs in this process, and a daemon that answers as it is told. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../../src/cli/run.ts';
import type { CliIo } from '../../../src/cli/cli.ts';
import { createControlServer } from '../../../src/daemon/control-server.ts';
import type { ControlServer, ControlServerOptions } from '../../../src/daemon/control-server.ts';
import { answerHastctl } from '../../../src/daemon/hastctl-bridge.ts';
import { VIRGIN_RECORD } from '../../../src/model/record.ts';
import type { NodeStatus, ResourceStatus } from '../../../src/protocol/control.ts';

/** Whoever introduces itself asks nothing more in hastctl's protocol. */
const refused = (): Promise<never> => Promise.reject(new Error('not asked for'));

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class Scene {
  readonly directory: string;
  private server: ControlServer | null = null;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** A directory with a hast.conf of node `a`, resources `test` and `other` on files of that name. */
  static async open(): Promise<Scene> {
    const scene = new Scene(await mkdtemp(join(tmpdir(), 'hastate-cli-')));
    const resource = (name: string): string =>
      `resource ${name} { local ${scene.path(name)} on a { remote 10.0.0.2 } on b { remote 10.0.0.1 } }\n`;
    await scene.write('hast.conf', `control ${scene.path('ctl')}\n${resource('test')}${resource('other')}`);
    return scene;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  write(name: string, content: string | Buffer): Promise<void> {
    return writeFile(this.path(name), content);
  }

  async serve(handle: ControlServerOptions['handle']): Promise<void> {
    const ports = { version: '0', status: refused, role: refused };
    this.server = await createControlServer({
      path: this.path('ctl'),
      handle,
      handleHastctl: (frame) => answerHastctl(frame, ports),
    });
  }

  async run(...args: string[]): Promise<Ran> {
    return this.runOn({ terminal: false }, ...args);
  }

  async runOn(
    { signal, ...io }: Partial<Pick<CliIo, 'terminal' | 'color' | 'program'>> & { signal?: AbortSignal },
    ...args: string[]
  ): Promise<Ran> {
    let out = '';
    let err = '';
    const code = await run(['-c', this.path('hast.conf'), '-n', 'a', ...args], {
      out: (text) => (out += text),
      err: (text) => (err += text),
      program: 'hastate',
      terminal: false,
      errTerminal: io.terminal ?? false,
      color: true,
      interruption: () => signal ?? new AbortController().signal,
      ...io,
    });
    return { code, out, err };
  }

  /** The daemon goes away. */
  async end(): Promise<void> {
    await this.server?.close();
  }

  async close(): Promise<void> {
    await this.end();
    await rm(this.directory, { recursive: true });
  }
}

export function resourceStatus(changes: Partial<ResourceStatus> = {}): ResourceStatus {
  const counters = {
    ...{ reads: 0, writes: 0, deletes: 0, flushes: 0, activemapUpdates: 0 },
    ...{ readErrors: 0, writeErrors: 0, deleteErrors: 0, flushErrors: 0 },
  };
  return {
    name: 'test',
    provname: 'test',
    role: 'init',
    status: '-',
    localpath: '/var/hast/node/disks/a.img',
    remoteaddr: 'tcp4://127.0.0.12:8457',
    sourceaddr: 'tcp4://127.0.0.11',
    replication: 'memsync',
    checksum: 'none',
    compression: 'hole',
    extentsize: 2_097_152,
    keepdirty: 64,
    datasize: 67_104_256,
    dirtyBytes: 0,
    record: VIRGIN_RECORD,
    freshness: { kind: 'inSync' },
    sync: null,
    verify: null,
    held: null,
    export: null,
    device: null,
    counters,
    queues: { local: 0, send: 0, recv: 0, done: 0, idle: 255 },
    error: null,
    peerTimeoutMs: 600,
    peerProblem: null,
    ...changes,
  };
}

export function nodeStatus(
  resources: readonly ResourceStatus[],
  changes: Partial<NodeStatus> = {},
): NodeStatus {
  return {
    node: 'a',
    version: '0',
    pid: 14654,
    boot: 'b',
    uptimeMs: 1,
    refused: [],
    warnings: [],
    peer: null,
    resources,
    groups: [],
    charts: [],
    lastEvent: null,
    ...changes,
  };
}
