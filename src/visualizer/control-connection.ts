/** One connection to a daemon's control socket, as a feed uses it. */
import { connect } from 'node:net';

import type { JournalEvent, NodeStatus } from '../protocol/control.ts';

export interface ControlConnection {
  askStatus(): void;
  /** Asks for the journal and what is added to it; once for each connection. */
  followEvents(): void;
  close(): void;
}

export interface ControlListener {
  opened(): void;
  status(status: NodeStatus): void;
  event(event: JournalEvent): void;
  /** Once, whatever the reason; nothing is told after it. */
  closed(): void;
}

const STATUS_ID = 1;
const EVENTS_ID = 2;
const CONNECT_MS = 2000;
/** A status with many resources is some 100 KiB; more is no daemon of ours. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;

/** Opens at once; the result owns its socket until `closed`. */
export function connectControl(path: string, listener: ControlListener): ControlConnection {
  const socket = connect({ path });
  let following = false;
  let parts: Buffer[] = [];
  let bytes = 0;
  const connecting = setTimeout(() => socket.destroy(), CONNECT_MS);
  socket.on('connect', () => {
    clearTimeout(connecting);
    listener.opened();
  });
  // 'close' follows and tells the listener.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    clearTimeout(connecting);
    listener.closed();
  });
  socket.on('data', (chunk: Buffer) => {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      parts.push(chunk.subarray(start, end));
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      bytes = 0;
      start = end + 1;
      if (!tellLine(line, listener)) socket.destroy();
      if (socket.destroyed) return;
    }
    parts.push(chunk.subarray(start));
    bytes += chunk.length - start;
    if (bytes > MAX_LINE_BYTES) socket.destroy();
  });

  const send = (id: number, command: string, args: object): void => {
    if (!socket.destroyed) socket.write(`${JSON.stringify({ id, command, args })}\n`);
  };
  return {
    askStatus: () => send(STATUS_ID, 'status', {}),
    followEvents() {
      if (following) return;
      following = true;
      send(EVENTS_ID, 'events', { follow: true });
    },
    close: () => {
      socket.destroy();
    },
  };
}

/** @returns false when the line is no answer that can be used: the connection is of no use then */
function tellLine(line: string, listener: ControlListener): boolean {
  let reply: unknown;
  try {
    reply = JSON.parse(line);
  } catch {
    return false;
  }
  if (typeof reply !== 'object' || reply === null || !('id' in reply)) return false;
  if (reply.id === EVENTS_ID) {
    if (!('event' in reply)) return false;
    if (isEvent(reply.event)) listener.event(reply.event);
    return true;
  }
  if (reply.id !== STATUS_ID || !('result' in reply) || !isStatus(reply.result)) return false;
  listener.status(reply.result);
  return true;
}

function isStatus(value: unknown): value is NodeStatus {
  return (
    typeof value === 'object' &&
    value !== null &&
    'boot' in value &&
    typeof value.boot === 'string' &&
    'charts' in value &&
    Array.isArray(value.charts) &&
    'groups' in value &&
    Array.isArray(value.groups) &&
    'resources' in value &&
    Array.isArray(value.resources)
  );
}

function isEvent(value: unknown): value is JournalEvent {
  return (
    typeof value === 'object' &&
    value !== null &&
    'seq' in value &&
    typeof value.seq === 'number' &&
    'message' in value &&
    typeof value.message === 'string'
  );
}
