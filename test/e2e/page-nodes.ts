/** Two daemons as the page sees them: control sockets that tell what a test says. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';

import type {
  ChartSnapshot,
  GroupStatus,
  JournalEvent,
  NodeStatus,
  ResourceStatus,
} from '../../src/protocol/control.ts';
import { addressStatus } from '../support/address-status.ts';

export interface FakeNode {
  readonly path: string;
  status: NodeStatus;
  /** Adds to the journal and tells followers. */
  log(entry: Partial<JournalEvent> & Pick<JournalEvent, 'kind' | 'message'>): void;
  /** As a kill: the socket is gone at once. */
  close(): Promise<void>;
}

export async function fakeNode(path: string, status: NodeStatus): Promise<FakeNode> {
  const clients = new Set<Socket>();
  const followers = new Map<Socket, number>();
  const journal: JournalEvent[] = [];
  const node: FakeNode = {
    path,
    status,
    log(entry) {
      const event: JournalEvent = {
        seq: journal.length + 1,
        time: new Date().toISOString(),
        at: performance.now(),
        node: node.status.node,
        level: 'info',
        ...entry,
      };
      journal.push(event);
      for (const [socket, id] of followers) socket.write(`${JSON.stringify({ id, event })}\n`);
    },
    async close() {
      for (const socket of clients) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  const server = createServer((socket) => {
    clients.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clients.delete(socket);
      followers.delete(socket);
    });
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const { id, command } = JSON.parse(line) as { id: number; command: string };
        if (command === 'status') {
          socket.write(`${JSON.stringify({ id, ok: true, result: node.status })}\n`);
        } else if (command === 'events') {
          for (const event of journal) socket.write(`${JSON.stringify({ id, event })}\n`);
          followers.set(socket, id);
        }
      }
    });
  });
  server.listen(path);
  await once(server, 'listening');
  return node;
}

const COUNTERS = {
  reads: 0,
  writes: 0,
  deletes: 0,
  flushes: 0,
  activemapUpdates: 0,
  readErrors: 0,
  writeErrors: 0,
  deleteErrors: 0,
  flushErrors: 0,
};

export function resource(name: string, changes: Partial<ResourceStatus> = {}): ResourceStatus {
  return {
    name,
    provname: name,
    role: 'secondary',
    status: 'complete',
    localpath: `/dev/ada${name.at(-1) ?? '0'}`,
    remoteaddr: 'tcp4://10.10.10.182',
    sourceaddr: null,
    replication: 'memsync',
    checksum: 'none',
    compression: 'hole',
    extentsize: 2_097_152,
    keepdirty: 64,
    datasize: 107_374_182_400,
    dirtyBytes: 0,
    record: null,
    freshness: { kind: 'inSync' },
    sync: null,
    verify: null,
    held: null,
    export: null,
    device: null,
    counters: COUNTERS,
    queues: { local: 0, send: 0, recv: 0, done: 0, idle: 512 },
    error: null,
    peerTimeoutMs: 600,
    peerProblem: null,
    ...changes,
  };
}

export function group(changes: Partial<GroupStatus> = {}): GroupStatus {
  return {
    name: 'storage',
    policy: 'available',
    state: 'standby.waiting',
    role: 'secondary',
    resources: ['disk1', 'disk2'],
    address: addressStatus(),
    badge: 'standby: may take over',
    lastTransition: null,
    ...changes,
  };
}

export function chart(id: string, value: unknown, lastEvent: string | null = null): ChartSnapshot {
  return { id, machine: id.split('.')[0] ?? id, value, sinceMs: 1500, lastEvent };
}

export function nodeStatus(node: string, peer: string, changes: Partial<NodeStatus> = {}): NodeStatus {
  return {
    node,
    version: '0.1.0',
    pid: 4711,
    boot: `${node}-boot-1`,
    uptimeMs: 7_384_000,
    refused: [],
    warnings: [],
    peer: { name: peer, heardMsAgo: { dataLink: 41, peerChannel: 12, adverts: 640 }, channel: 'up' },
    resources: [resource('disk1'), resource('disk2')],
    groups: [group()],
    charts: [
      chart('group.storage', { standby: 'waiting' }, 'xstate.done.actor.settleSecondary'),
      chart('resource.disk1', { secondary: 'connected' }, 'ENGINE.CONNECTED'),
      chart('link', { talking: 'listening' }, 'HEARD'),
      chart('node', 'running', 'xstate.done.actor.startGroups'),
    ],
    lastEvent: null,
    ...changes,
  };
}

/** The same as a node that leads, with a resync of its second disk under way. */
export function leadingStatus(node: string, peer: string): NodeStatus {
  return nodeStatus(node, peer, {
    resources: [
      resource('disk1', { role: 'primary' }),
      resource('disk2', {
        role: 'primary',
        status: 'degraded',
        dirtyBytes: 734_003_200,
        sync: {
          direction: 'toPeer',
          totalBytes: 2_000_000_000,
          doneBytes: 1_260_000_000,
          startedMsAgo: 9000,
          bytesPerSecond: 140_000_000,
          remainingMs: 9000,
        },
      }),
    ],
    groups: [
      group({
        role: 'primary',
        state: 'primary.serving',
        badge: 'failover now: safe',
        address: addressStatus({ state: 'MASTER', up: true }),
      }),
    ],
    charts: [
      chart('group.storage', { primary: 'serving' }, 'xstate.done.actor.raiseAddress'),
      chart('resource.disk1', { primary: { peer: 'complete', io: 'serving' } }, 'ENGINE.CONNECTED'),
      chart('link', { talking: 'listening' }, 'HEARD'),
      chart('node', 'running', 'xstate.done.actor.startGroups'),
    ],
  });
}
