/**
 * keepalived elects and tells by a named pipe (`vrrp_notify_fifo`); we answer by a file that it tracks, so that it
 * holds itself back until our services run.
 * @see keepalived.conf(5): vrrp_notify_fifo, track_file
 */
import { constants, open } from 'node:fs';
import { lstat, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { promisify } from 'node:util';

import { NetError } from '../model/errors.ts';
import type { CarpState } from '../model/roles.ts';
import type { ForeignElection, StateNews } from './foreign-election.ts';
import { runCommand } from './run-command.ts';

const MAX_LINE = 4096;

export interface FifoMessage {
  readonly kind: 'INSTANCE' | 'GROUP';
  readonly name: string;
  readonly state: string;
  readonly priority: number;
}

/** A line such as `INSTANCE "storage" MASTER 150`; null for anything else. */
export function parseFifoLine(line: string): FifoMessage | null {
  const match = /^(INSTANCE|GROUP) "(.*)" ([A-Z_]+) (\d+)$/.exec(line);
  if (match === null) return null;
  const [, kind, name = '', state = '', priority] = match;
  return { kind: kind === 'GROUP' ? 'GROUP' : 'INSTANCE', name, state, priority: Number(priority) };
}

/** null: says nothing about who is MASTER, e.g. MASTER_RX_LOWER_PRI. */
export function stateOf(word: string): CarpState | null {
  switch (word) {
    case 'MASTER':
    case 'MASTER_PRIORITY':
      return 'MASTER';
    case 'BACKUP':
    case 'BACKUP_PRIORITY':
      return 'BACKUP';
    case 'FAULT':
    case 'STOP':
    case 'DELETED':
      return 'INIT';
    default:
      return null;
  }
}

/**
 * Makes the pipe (mode 0600) and reads it.
 * @returns closes it; it stays, because keepalived opens it only once and would write to the removed one for ever
 * @throws NetError `keepalived-fifo` when something else is in the way or it cannot be made
 */
export async function readFifo(
  path: string,
  onMessage: (message: FifoMessage) => void,
): Promise<() => Promise<void>> {
  const there = await lstat(path).catch(() => null);
  if (there !== null && !there.isFIFO()) {
    throw new NetError('keepalived-fifo', `${path} is not a named pipe; move it away`);
  }
  if (there === null) {
    const { exitCode, stderr } = await runCommand(['mkfifo', '-m', '0600', path]);
    if (exitCode !== 0) throw new NetError('keepalived-fifo', `no named pipe ${path}: ${stderr.trim()}`);
  }
  // Also for writing: so it does not end whenever keepalived does.
  const fd = await promisify(open)(path, constants.O_RDWR | constants.O_NONBLOCK);
  const socket = new Socket({ fd, readable: true, writable: false });
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = (lines.pop() ?? '').slice(-MAX_LINE);
    for (const line of lines) {
      const message = parseFifoLine(line);
      if (message !== null) onMessage(message);
    }
  });
  // What cannot be read is not heard; keepalived writes on as soon as it can.
  socket.on('error', () => undefined);
  return async () => {
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.destroy();
    await closed;
  };
}

interface SharedFifo {
  readonly closing: Promise<() => Promise<void>>;
  readonly listeners: Set<(message: FifoMessage) => void>;
}

const shared = new Map<string, SharedFifo>();

/** keepalived knows one pipe for all of its instances, so all groups read the same. */
async function shareFifo(
  path: string,
  listener: (message: FifoMessage) => void,
): Promise<() => Promise<void>> {
  const known = shared.get(path);
  const listeners = known?.listeners ?? new Set();
  listeners.add(listener);
  const entry = known ?? {
    listeners,
    closing: readFifo(path, (message) => {
      for (const each of listeners) each(message);
    }),
  };
  shared.set(path, entry);
  const leave = async (): Promise<void> => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    shared.delete(path);
    await (
      await entry.closing
    )();
  };
  try {
    await entry.closing;
    return leave;
  } catch (error) {
    shared.delete(path);
    throw error;
  }
}

/** @throws NetError `keepalived-fifo` */
export async function startKeepalived(options: {
  /** Name of the vrrp_instance. */
  readonly instance: string;
  readonly fifo: string;
  /** Holds 1 while this node holds back, else 0. */
  readonly trackFile: string;
  readonly onChange: (news: StateNews) => void;
}): Promise<ForeignElection> {
  const { instance, fifo, trackFile, onChange } = options;
  let state: CarpState = 'INIT';
  const count: Record<string, number> = {};
  const holdBack = (on: boolean): Promise<void> => writeFile(trackFile, on ? '1\n' : '0\n', { mode: 0o644 });
  await holdBack(true);
  const closeFifo = await shareFifo(fifo, ({ kind, name, state: word, priority }) => {
    if (kind !== 'INSTANCE' || name !== instance) return;
    count[word.toLowerCase()] = (count[word.toLowerCase()] ?? 0) + 1;
    const to = stateOf(word);
    if (to === null || to === state) return;
    const from = state;
    state = to;
    onChange({ from, to, reason: `keepalived says ${word}, priority ${priority}` });
  });
  return {
    kind: 'keepalived',
    state: () => state,
    holdBack,
    // It yields by itself, once it reads that it is the last choice.
    handOver: () => Promise.resolve(),
    trouble: () =>
      Object.keys(count).length === 0
        ? `keepalived has not said anything about ${instance} yet (docs/address-drivers.md has what its configuration needs)`
        : null,
    counters: () => ({ ...count }),
    cleanupActions: () => [['sh', '-c', 'echo 1 >"$0"', trackFile]],
    close: async () => {
      await holdBack(true);
      await closeFifo();
    },
  };
}
