/** Runs one engine in its thread: binds the ports, answers commands, beats. */
import { randomBytes } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';
import { HastateError, describeError } from '../../model/errors.ts';
import { NO_ID } from '../../model/record.ts';
import type { ResourceSettings } from '../../model/settings.ts';
import type { LinkAccess } from '../../protocol/link-keys.ts';
import type { EngineCommand, EngineEvent, EngineSetup, EngineSnapshot } from '../../replication/messages.ts';
import type { ConnectionPort, ConnectorPort, EnginePorts, RandomPort } from '../../replication/ports.ts';
import { bootClock } from './clock.ts';
import { dataConnector } from './connector.ts';
import { engineExporter } from './exporter.ts';
import { openFileDisk } from './file-disk.ts';
import { Entrance } from './entrance.ts';
import { LeaseMemory } from './lease-memory.ts';
import { RepeatedLines } from '../repeated-lines.ts';
import { sidecarFile } from './sidecar-file.ts';
import type { FromWorker, ToWorker, WorkerSetup } from './worker-messages.ts';

const BEAT_MS = 50;

/** What src/replication/engine.ts makes. */
export interface HostedEngine {
  open(): Promise<EngineSnapshot>;
  handle(command: EngineCommand): Promise<EngineSnapshot>;
  adopt(connection: ConnectionPort, head: Buffer): void;
  turnAway(connection: ConnectionPort | null, why: string): void;
  close(): Promise<void>;
}

/** What decides how the peer is met. */
type Ways = Pick<EngineSetup, 'resource' | 'linkTls'>;

export type CreateEngine = (
  setup: EngineSetup,
  ports: EnginePorts,
  emit: (event: EngineEvent) => void,
) => HostedEngine;

/** Returns when the engine is closed, after `stop` or because it could not be opened. */
export async function runEngine(
  port: MessagePort,
  { setup, slot }: WorkerSetup,
  create: CreateEngine,
): Promise<void> {
  const post = (message: FromWorker): void => port.postMessage(message);
  const lease = new LeaseMemory(setup.leaseMemory);
  // The beat keeps the thread while the engine is open.
  const clock = bootClock({ holdsThread: false });
  const beat = (): void => lease.beat(slot, clock.now());
  beat();
  const lines = new RepeatedLines(
    (_, message) =>
      post({ type: 'event', event: { kind: 'client-closed', level: 'warn', message, snapshot: null } }),
    () => clock.now(),
  );
  const beating = setInterval(beat, BEAT_MS);
  try {
    const { resource, stateDir } = setup;
    const disk = await openFileDisk(resource.local, stateDir);
    try {
      const ports: { -readonly [Port in keyof EnginePorts]: EnginePorts[Port] } = {
        clock,
        random: systemRandom,
        disk,
        sidecar: sidecarFile(stateDir, resource.name),
        connector: connectorOf(resource, setup.linkTls),
        lease: lease.port(),
        exporter: engineExporter(stateDir, resource.name, undefined, (why) =>
          lines.say('warn', `a client of the export was closed: ${why}`),
        ),
      };
      const engine = create(setup, ports, (event) => post({ type: 'event', event }));
      try {
        const snapshot = await engine.open();
        post({ type: 'opened', snapshot, warning: disk.warning });
        await serve(port, engine, post, setup, (changed) => {
          ports.connector = connectorOf(changed.resource, changed.linkTls);
        });
      } finally {
        await engine.close();
      }
    } finally {
      await disk.close();
    }
  } catch (error) {
    post({ type: 'open-failed', code: codeOf(error), message: describeError(error) });
  } finally {
    clearInterval(beating);
    port.close();
  }
}

/** Resolves after the answer to `stop`. */
function serve(
  port: MessagePort,
  engine: HostedEngine,
  post: (message: FromWorker) => void,
  setup: Ways,
  onChange: (ways: Ways) => void,
): Promise<void> {
  let ways = setup;
  const change = (changed: Partial<Ways>): void => {
    ways = { ...ways, ...changed };
    onChange(ways);
  };
  const entrance = new Entrance(engine);
  return new Promise<void>((resolve) => {
    port.on('message', (message: ToWorker) => {
      if (!('command' in message)) {
        // First, so that the main thread never closes a descriptor that is in use here.
        if (message.type === 'adopt') post({ type: 'adopted', fd: message.fd });
        entrance.take(message, ways.linkTls ?? null);
        return;
      }
      const { id, command } = message;
      if (command.type === 'settings') change({ resource: command.resource });
      if (command.type === 'secrets') change(command.secrets);
      void answer(engine, command).then((reply) => {
        post({ type: 'reply', id, ...reply });
        if (command.type === 'stop') resolve();
      });
    });
  }).finally(() => entrance.close());
}

async function answer(engine: HostedEngine, command: EngineCommand) {
  try {
    return { ok: true, snapshot: await engine.handle(command) } as const;
  } catch (error) {
    return { ok: false, code: codeOf(error), message: describeError(error) } as const;
  }
}

function connectorOf(
  { remote, source }: ResourceSettings,
  access: LinkAccess | null = null,
): ConnectorPort | null {
  return remote === null ? null : dataConnector(remote, source, access);
}

function codeOf(error: unknown): string {
  return error instanceof HastateError ? error.code : 'engine-failed';
}

const systemRandom: RandomPort = {
  id() {
    for (;;) {
      const id = randomBytes(8).toString('hex');
      if (id !== NO_ID) return id;
    }
  },
  bytes: (length) => randomBytes(length),
};
