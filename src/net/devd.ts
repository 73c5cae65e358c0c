/**
 * FreeBSD's devd tells what the kernel says, line by line, to everybody who connects to its socket.
 * @see devd(8), carp(4)
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

import type { NetLog } from './log.ts';

const SOCKET = '/var/run/devd.pipe';
/** The kernel's lines are shorter; whoever sends longer ones is not devd. */
const MAX_LINE = 4096;
const RETRY_MS = 1000;

/** A notification (`!`), e.g. of system IFNET, subsystem em0, type LINK_DOWN. */
export interface DevdEvent {
  readonly system: string;
  readonly subsystem: string;
  readonly type: string;
}

/** @returns null for what is no notification: devices that come (`+`), go (`-`) or are unknown (`?`), and noise */
export function parseDevdLine(line: string): DevdEvent | null {
  if (!line.startsWith('!')) return null;
  const values = new Map<string, string>();
  for (const match of line.slice(1).matchAll(/([\w.-]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))/g)) {
    const [, key = '', quoted, plain] = match;
    if (!values.has(key)) values.set(key, quoted?.replaceAll(/\\(.)/g, '$1') ?? plain ?? '');
  }
  const [system, subsystem, type] = ['system', 'subsystem', 'type'].map((key) => values.get(key));
  if (system === undefined || subsystem === undefined || type === undefined) return null;
  return { system, subsystem, type };
}

/**
 * Connects, and connects again for ever.
 * @param options.onConnect events may have been missed: look for yourself
 */
export function watchDevd(options: {
  readonly onEvent: (event: DevdEvent) => void;
  readonly onConnect: () => void;
  readonly log: NetLog;
  /** Default /var/run/devd.pipe. */
  readonly path?: string;
  readonly retryMs?: number;
}): { close(): void } {
  const { onEvent, onConnect, log, path = SOCKET, retryMs = RETRY_MS } = options;
  let socket: Socket | null = null;
  let timer: NodeJS.Timeout | null = null;
  let closed = false;
  let complained = false;

  const dial = (): void => {
    let rest = '';
    let why = 'it closed the connection';
    const dialled = connect(path);
    socket = dialled;
    dialled.setEncoding('latin1');
    dialled.once('connect', () => {
      complained = false;
      onConnect();
    });
    dialled.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE) {
        why = 'what it says has no end of line';
        dialled.destroy();
      }
      for (const line of lines) {
        const event = parseDevdLine(line);
        if (event !== null && !closed) onEvent(event);
      }
    });
    dialled.on('error', (error) => (why = error.message));
    dialled.once('close', () => {
      socket = null;
      if (closed) return;
      if (!complained) log('warn', `devd is not heard at ${path}: ${why}; trying again`);
      complained = true;
      timer = setTimeout(dial, retryMs);
    });
  };
  dial();
  return {
    close: () => {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      socket?.destroy();
    },
  };
}
