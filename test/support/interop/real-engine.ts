/**
 * One engine as the daemon runs it: in its thread, on a file, with its listener. `close` ends all of it.
 * Its thread's program is bundled from the sources, so that dist need not be current.
 */
import { build } from 'esbuild';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { DataListener } from '../../../src/daemon/engine/data-listener.ts';
import { LeaseMemory } from '../../../src/daemon/engine/lease-memory.ts';
import { EngineHandle } from '../../../src/daemon/engine/supervise.ts';
import type { ResourceSettings } from '../../../src/model/settings.ts';
import { DEFAULT_TIMING } from '../../../src/model/timing.ts';
import type { EngineEvent } from '../../../src/replication/messages.ts';

const ROOT = join(import.meta.dirname, '../../..');

/** @returns the program of an engine's thread, and what removes it */
export async function bundleWorker(name: string): Promise<{ worker: URL; remove: () => void }> {
  const directory = join(ROOT, 'node_modules/.cache/hastate-tests', `${name}-${process.pid}`);
  mkdirSync(directory, { recursive: true });
  const outfile = join(directory, 'worker.mjs');
  await build({
    entryPoints: [join(ROOT, 'src/daemon/engine/worker.ts')],
    ...{ outfile, bundle: true, platform: 'node', format: 'esm' },
  });
  return { worker: pathToFileURL(outfile), remove: () => rmSync(directory, { recursive: true }) };
}

export interface RealEngineOptions {
  readonly worker: URL;
  readonly disk: string;
  readonly stateDir: string;
  /** Address and port at which it accepts a primary. */
  readonly host: string;
  readonly port: number;
  readonly resource: Pick<
    ResourceSettings,
    'name' | 'remote' | 'source' | 'replication' | 'checksum' | 'compression'
  >;
}

export class RealEngine {
  readonly engine: EngineHandle;
  readonly events: EngineEvent[];
  readonly #listener: DataListener;

  private constructor(engine: EngineHandle, events: EngineEvent[], listener: DataListener) {
    this.engine = engine;
    this.events = events;
    this.#listener = listener;
  }

  /** A node beside a plain hastd. */
  static async start(options: RealEngineOptions): Promise<RealEngine> {
    const { worker, disk, stateDir, resource } = options;
    const lease = new LeaseMemory();
    const events: EngineEvent[] = [];
    const note = (message: string): void => {
      events.push({ kind: 'failed', level: 'error', message, snapshot: null });
    };
    const engine = new EngineHandle({
      ...{ lease, worker },
      setup: {
        resource: {
          ...resource,
          ...{ provname: resource.name, local: disk, timeoutMs: 5000 },
          ...{ exec: null, metaflush: true, peer: null },
        },
        ...{ node: 'ours', boot: '00000000000000aa', timing: DEFAULT_TIMING, peerKind: 'hastd', stateDir },
        ...{ leaseMemory: lease.buffer, linkKey: null },
      },
      onEvent: (event) => events.push(event),
      onDied: note,
      onStalled: (ms) => note(`stalled for ${ms} ms`),
      onRecovered: () => undefined,
    });
    const { name, remote } = resource;
    const adopt = (connection: Parameters<EngineHandle['adopt']>[0]): void => engine.adopt(connection);
    const listener = await DataListener.start({
      listen: [`tcp4://${options.host}:${options.port}`],
      resources: () => [{ name, remote, adopt }],
    });
    const real = new RealEngine(engine, events, listener);
    try {
      await engine.start();
      return real;
    } catch (error) {
      await real.close();
      throw error;
    }
  }

  /** Primary of its own disk, without asking anybody. @returns the socket of its export */
  async promote(number: number): Promise<string> {
    const epoch = { number, id: `00000000000000${number.toString(16).padStart(2, '0')}` };
    await this.engine.command({ type: 'prepare-primary', epoch, inSync: ['ours'], forced: true });
    const { export: exported } = await this.engine.command({ type: 'become-primary', epoch });
    return exported?.socket ?? '';
  }

  async close(): Promise<void> {
    await this.engine.stop();
    await this.#listener.close();
  }

  /** As when the machine lost its power with everything on the disk: nothing is tidied up. */
  async kill(): Promise<void> {
    await this.engine.kill();
    await this.#listener.close();
  }
}
