/** Captured connections of real hastds in the order in which they happened, and what they imply. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { unpackPayload } from '../../../src/protocol/hast-message.ts';
import type { NvMap } from '../../../src/protocol/nv.ts';
import {
  type ExpectedMessage,
  vectorBytes,
  vectorJson,
  vectorNames,
} from '../../unit/protocol/hast-vectors.ts';
import type { Compared } from './compare.ts';
import { messageAt } from './played-connection.ts';

export type Folder = 'streams' | 'fakeprimary';
export type Direction = 'p2s' | 's2p';

export interface Message extends Compared {
  /** Where it ends in its stream. */
  readonly end: number;
}

export interface Way {
  readonly bytes: Buffer;
  readonly messages: readonly Message[];
}

export type Connection = Readonly<Record<Direction, Way>>;

/** `data`: everything up to `end` was sent. */
export type Happening =
  | { readonly kind: 'open'; readonly conn: number }
  | { readonly kind: 'data'; readonly conn: number; readonly dir: Direction; readonly end: number }
  | { readonly kind: 'eof'; readonly conn: number; readonly dir: Direction };

/** A first connection and the second that brought its token back, when there was one. */
export interface Session {
  readonly first: number;
  readonly second: number | null;
}

export interface Capture {
  readonly name: string;
  readonly connections: ReadonlyMap<number, Connection>;
  readonly happenings: readonly Happening[];
  readonly sessions: readonly Session[];
}

interface Index {
  readonly connections?: readonly {
    readonly conn: number;
    readonly p2s: { readonly file: string; readonly messages: readonly ExpectedMessage[] };
    readonly s2p: { readonly file: string; readonly messages: readonly ExpectedMessage[] };
  }[];
  readonly streams?: Readonly<Record<string, readonly ExpectedMessage[]>>;
}

const ROOT = join(import.meta.dirname, '../../vectors/hast');

export function captureNames(folder: Folder): string[] {
  return vectorNames(folder).filter((name) => !name.endsWith('.json'));
}

export function loadCapture(folder: Folder, name: string): Capture {
  const at = (file: string): string => `${folder}/${name}/${file}`;
  const index = vectorJson(at('index.json')) as Index;
  const connections = new Map<number, Connection>();
  for (const { conn, p2s, s2p } of index.connections ?? [])
    connections.set(conn, { p2s: wayOf(at(p2s.file), p2s.messages), s2p: wayOf(at(s2p.file), s2p.messages) });
  for (const conn of [1, 2]) {
    const files = { p2s: `conn${conn}_p2s.bin`, s2p: `conn${conn}_s2p.bin` } as const;
    const streams = index.streams ?? {};
    if (streams[files.p2s] === undefined) continue;
    const way = (dir: Direction): Way => wayOf(at(files[dir]), streams[files[dir]] ?? []);
    connections.set(conn, { p2s: way('p2s'), s2p: way('s2p') });
  }
  const sessions = sessionsOf(connections);
  const timeline = at('timeline.jsonl');
  const recorded = existsSync(join(ROOT, timeline)) || existsSync(join(ROOT, `${timeline}.gz`));
  const happenings = recorded ? readTimeline(timeline) : questionAndAnswer(connections, sessions);
  return { name, connections, happenings, sessions };
}

/** Every message must be where an independent parser saw it. */
function wayOf(file: string, expected: readonly ExpectedMessage[]): Way {
  const bytes = vectorBytes(file);
  const messages = expected.map(({ off, total_len: length }) => {
    const message = messageAt(bytes, off);
    if (message?.bytes.length !== length) throw new Error(`${file}: no message of ${length} bytes at ${off}`);
    return { ...message, end: off + length };
  });
  return { bytes, messages };
}

function readTimeline(path: string): Happening[] {
  interface Line {
    readonly conn: number;
    readonly dir?: Direction;
    readonly off?: number;
    readonly len?: number;
    readonly eof?: boolean;
  }
  return vectorBytes(path)
    .toString()
    .split('\n')
    .filter(Boolean)
    .map((text) => {
      const { conn, dir, off = 0, len = 0, eof } = JSON.parse(text) as Line;
      if (dir === undefined) return { kind: 'open', conn };
      return eof === true ? { kind: 'eof', conn, dir } : { kind: 'data', conn, dir, end: off + len };
    });
}

function sessionsOf(connections: ReadonlyMap<number, Connection>): Session[] {
  const sessions: Session[] = [];
  const numbers = [...connections.keys()].sort((a, b) => a - b);
  for (let i = 0; i < numbers.length; i++) {
    const [first = 0, second = 0] = numbers.slice(i, i + 2);
    const paired = connections.get(second)?.p2s.messages[0]?.nv.has('token') === true;
    if (paired) i++;
    sessions.push({ first, second: paired ? second : null });
  }
  return sessions;
}

/** For captures without a record of the order: everything was answered before the next was sent. */
function questionAndAnswer(
  connections: ReadonlyMap<number, Connection>,
  sessions: readonly Session[],
): Happening[] {
  const happenings: Happening[] = [];
  const say = (conn: number, dir: Direction, messages: readonly Message[]): void => {
    for (const { end } of messages) happenings.push({ kind: 'data', conn, dir, end });
  };
  for (const { first, second } of sessions) {
    const [one, two] = [connections.get(first), second === null ? null : connections.get(second)];
    if (one === undefined) continue;
    happenings.push({ kind: 'open', conn: first });
    say(first, 'p2s', one.p2s.messages.slice(0, 1));
    say(first, 's2p', one.s2p.messages.slice(0, 1));
    if (second === null || two === undefined || two === null) continue;
    happenings.push({ kind: 'open', conn: second });
    say(second, 'p2s', two.p2s.messages);
    say(first, 's2p', one.s2p.messages.slice(1));
    for (const message of one.p2s.messages.slice(1)) {
      say(first, 'p2s', [message]);
      const seq = message.nv.big('seq', 'uint64');
      const answers = two.s2p.messages.filter(({ nv }) => nv.big('seq', 'uint64') === seq);
      if (seq !== undefined) say(second, 's2p', answers);
    }
  }
  return happenings;
}

/** What hastd's handshake with this capture says of the two nodes. */
export interface Handshake {
  /** Of the primary; null where it did not come so far. */
  readonly request: NvMap | null;
  /** Of the secondary; null where it did not answer. */
  readonly reply: NvMap | null;
  /** Bits that the secondary sent: null = none, or all of them. */
  readonly map: Buffer | null;
  readonly errmsg: string;
}

export function handshakeOf({ connections }: Capture, { first, second }: Session): Handshake {
  const answers = connections.get(first)?.s2p.messages ?? [];
  const reply = answers[1] ?? null;
  const request = second === null ? null : (connections.get(second)?.p2s.messages[0]?.nv ?? null);
  const mapsize = reply?.nv.number('mapsize', 'uint32') ?? 0;
  const map =
    reply === null || reply.data === null || mapsize === 0
      ? null
      : Buffer.from(unpackPayload(reply.nv, reply.data, mapsize, mapsize));
  const errmsg = answers.at(-1)?.nv.string('errmsg') ?? '';
  return { request, reply: reply?.nv ?? null, map: map?.every((byte) => byte === 0xff) ? null : map, errmsg };
}

/** How the nodes of a capture were configured. */
export interface Settings {
  readonly replication: 'fullsync' | 'memsync' | 'async';
  readonly checksum: 'none' | 'crc32' | 'sha256';
  readonly compression: 'none' | 'hole' | 'lzf';
}

const OTHERS: Readonly<Record<string, Settings>> = {
  'full-sync-secondary-recreated': { replication: 'fullsync', checksum: 'crc32', compression: 'lzf' },
  'failback-sync-from-secondary-none-none': {
    ...{ replication: 'fullsync', checksum: 'none', compression: 'none' },
  },
};

export function settingsOf(name: string): Settings {
  const other = OTHERS[name];
  if (other !== undefined) return other;
  const match = /^(fullsync|memsync|async)-(none|crc32|sha256)-(none|hole|lzf)$/.exec(name);
  if (match === null) return { replication: 'memsync', checksum: 'none', compression: 'hole' };
  const [, replication, checksum, compression] = match;
  return { replication, checksum, compression } as Settings;
}
