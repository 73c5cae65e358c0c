/** Plays a captured primary against our real secondary and notes what it answers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { encodeFrame, HAST_CMD, unpackPayload } from '../../../src/protocol/hast-message.ts';
import type { HastMetadata } from '../../../src/protocol/hast-metadata.ts';
import type { NvMap } from '../../../src/protocol/nv.ts';
import {
  type Capture,
  type Connection,
  type Happening,
  handshakeOf,
  type Session,
  settingsOf,
} from './captured.ts';
import type { Compared } from './compare.ts';
import { freeTcpPort } from '../free-ports.ts';
import { type DiskState, readData, readMetadata, writeDisk } from './hast-disk.ts';
import { PlayedConnection } from './played-connection.ts';
import { RealEngine } from './real-engine.ts';

const DEFAULT_DATASIZE = 67104256;
const MAXPHYS = 131072;
const PROBE_SEQ = 999_999n;
const OURS = '127.0.0.61';
const PRIMARY = '127.0.0.62';
const STRANGER = '127.0.0.63';

export interface Replayed {
  /** What our secondary said on each connection. */
  readonly answers: ReadonlyMap<number, readonly Compared[]>;
  readonly sameData: boolean;
  readonly metadata: HastMetadata;
  readonly expectedMetadata: Pick<HastMetadata, 'resuid' | 'localcnt' | 'remotecnt' | 'prevrole'>;
}

export class SecondaryReplay {
  readonly #capture: Capture;
  readonly #worker: URL;
  readonly #directory = mkdtempSync(join(tmpdir(), 'hastate-replay-'));
  readonly #connections = new Map<number, PlayedConnection>();
  readonly #sent = new Map<number, number>();
  /** What the user data must be. */
  #data = Buffer.alloc(DEFAULT_DATASIZE);
  #engine: RealEngine | null = null;
  #port = 0;
  #promoted = false;
  #state: DiskState | null = null;
  #tokens: { readonly theirs: Buffer; readonly ours: Buffer } | null = null;

  constructor(capture: Capture, worker: URL) {
    this.#capture = capture;
    this.#worker = worker;
  }

  async run(): Promise<Replayed> {
    this.#port = await freeTcpPort(OURS);
    for (const session of this.#capture.sessions) {
      await this.#prepare(session);
      await this.#play(session);
    }
    await this.#stop();
    const metadata = readMetadata(this.#disk);
    const { resuid, localcnt, remotecnt, prevrole } = this.#state ?? metadata;
    const expectedMetadata = {
      resuid,
      localcnt,
      remotecnt,
      prevrole: this.#promoted ? ('primary' as const) : prevrole,
    };
    const answers = new Map([...this.#connections].map(([conn, { received }]) => [conn, received]));
    const sameData = readData(this.#disk).equals(this.#data);
    return { answers, sameData, metadata, expectedMetadata };
  }

  async close(): Promise<void> {
    await this.#stop();
    rmSync(this.#directory, { recursive: true });
  }

  get #disk(): string {
    return join(this.#directory, 'disk.img');
  }

  async #stop(): Promise<void> {
    for (const connection of this.#connections.values()) connection.close();
    await this.#engine?.close();
    this.#engine = null;
  }

  /** The disk and the role that the capture's answers tell of; the node that is there stays when it has them. */
  async #prepare(session: Session): Promise<void> {
    const { reply, map, errmsg, request } = handshakeOf(this.#capture, session);
    const mismatch = /secondary=(\d+)/.exec(errmsg)?.[1];
    const ownId = mismatch === undefined ? (request?.big('resuid', 'uint64') ?? 0n) : BigInt(mismatch);
    const virgin = reply === null || reply.has('virgin');
    const state: DiskState = {
      datasize: Number(reply?.big('datasize', 'int64') ?? DEFAULT_DATASIZE),
      resuid: virgin ? 0n : ownId,
      localcnt: reply?.big('localcnt', 'uint64') ?? 0n,
      remotecnt: reply?.big('remotecnt', 'uint64') ?? 0n,
      ...{ prevrole: virgin ? ('init' as const) : ('secondary' as const), map },
    };
    const dirty = map?.some((byte) => byte !== 0) === true;
    if (this.#engine === null || dirty || !sameState(this.#state, state))
      await this.#start(state, session, errmsg);
    const adopts = virgin && reply !== null;
    this.#state = adopts ? { ...state, resuid: ownId, prevrole: 'secondary' } : state;
  }

  async #start(state: DiskState, session: Session, errmsg: string): Promise<void> {
    await this.#engine?.close();
    this.#data = Buffer.concat([this.#data, Buffer.alloc(state.datasize)]).subarray(0, state.datasize);
    this.#fillAsRead(session);
    writeDisk(this.#disk, state, this.#data);
    this.#engine = await RealEngine.start({
      ...{ worker: this.#worker, disk: this.#disk, stateDir: mkdtempSync(join(this.#directory, 'state-')) },
      ...{ host: OURS, port: this.#port },
      resource: {
        name: 'test',
        remote: `tcp4://${PRIMARY}`,
        source: null,
        ...settingsOf(this.#capture.name),
      },
    });
    if (errmsg.includes('acts as init')) return;
    if (errmsg.includes('acts as primary')) {
      await this.#engine.promote(1);
      this.#promoted = true;
    } else await this.#engine.engine.command({ type: 'become-secondary' });
  }

  /** What the secondary answered to READs was on its disk, unless this session wrote it. */
  #fillAsRead(session: Session): void {
    const requests = this.#capture.connections.get(session.first)?.p2s.messages.slice(1) ?? [];
    const back = session.second === null ? undefined : this.#capture.connections.get(session.second);
    const answered = [...(back?.s2p.messages ?? [])];
    const written: [number, number][] = [];
    for (const { nv } of requests) {
      const [cmd, offset, length] = rangeOf(nv);
      const seq = nv.big('seq', 'uint64');
      if (cmd !== HAST_CMD.READ) written.push([offset, offset + length]);
      const at = answered.findIndex((one) => one.nv.big('seq', 'uint64') === seq && !one.nv.has('received'));
      const [reply] = at < 0 ? [] : answered.splice(at, 1);
      if (cmd !== HAST_CMD.READ || reply?.data == null) continue;
      if (written.some(([from, to]) => offset < to && from < offset + length)) continue;
      unpackPayload(reply.nv, reply.data, length, MAXPHYS).copy(this.#data, offset);
    }
  }

  async #play(session: Session): Promise<void> {
    const mine = [session.first, session.second];
    for (const happening of this.#capture.happenings.filter(({ conn }) => mine.includes(conn))) {
      if (happening.kind === 'open') await this.#open(happening.conn);
      else if (happening.kind === 'data') await this.#traffic(happening);
    }
    const { errmsg } = handshakeOf(this.#capture, session);
    const first = this.#connection(session.first);
    const refused = errmsg !== '' || this.#captured(session.first).s2p.messages.length === 0;
    // A session that was not refused must still serve, whatever came.
    if (refused) await first.untilEnded();
    else if (session.second !== null) await this.#probe(first, this.#connection(session.second));
    this.#applyWrites(session);
    for (const conn of mine) if (conn !== null) this.#connection(conn).close();
  }

  async #open(conn: number): Promise<void> {
    const from = this.#capture.name === 'unknown-address' ? STRANGER : PRIMARY;
    this.#connections.set(conn, await PlayedConnection.to(this.#port, OURS, from));
  }

  /** Sends what was sent, waits for as many answers as there were. */
  async #traffic({ conn, dir, end }: Extract<Happening, { kind: 'data' }>): Promise<void> {
    const connection = this.#connection(conn);
    const captured = this.#captured(conn);
    if (dir === 'p2s') {
      connection.send(this.#withOurToken(captured.p2s.bytes.subarray(this.#sent.get(conn) ?? 0, end)));
      this.#sent.set(conn, end);
      return;
    }
    await connection.untilReceived(captured.s2p.messages.filter((message) => message.end <= end).length);
    const theirs = captured.s2p.messages[0]?.nv.bytes('token');
    const ours = connection.received[0]?.nv.bytes('token');
    if (theirs !== undefined && ours !== undefined) this.#tokens = { theirs, ours };
  }

  #withOurToken(bytes: Buffer): Buffer {
    const at = this.#tokens === null ? -1 : bytes.indexOf(this.#tokens.theirs);
    if (this.#tokens === null || at < 0) return bytes;
    const copy = Buffer.from(bytes);
    this.#tokens.ours.copy(copy, at);
    return copy;
  }

  /** A FLUSH of our own behind what was captured; its answer is left out of what is compared. */
  async #probe(first: PlayedConnection, second: PlayedConnection): Promise<void> {
    const [flush] = encodeFrame(1, [
      { name: 'cmd', type: 'uint8', value: HAST_CMD.FLUSH },
      { name: 'seq', type: 'uint64', value: PROBE_SEQ },
    ]);
    const before = second.received.length;
    first.send(flush ?? Buffer.alloc(0));
    await second.untilReceived(before + 1);
    while (second.received.at(-1)?.nv.big('seq', 'uint64') !== PROBE_SEQ)
      await second.untilReceived(second.received.length + 1);
    second.received.pop();
  }

  #applyWrites({ first }: Session): void {
    for (const { nv, data } of this.#captured(first).p2s.messages.slice(1)) {
      const [cmd, offset, length] = rangeOf(nv);
      if (offset + length > this.#data.length) continue;
      if (cmd === HAST_CMD.WRITE && data !== null)
        unpackPayload(nv, data, length, MAXPHYS).copy(this.#data, offset);
      else if (cmd === HAST_CMD.DELETE) this.#data.fill(0, offset, offset + length);
    }
  }

  #connection(conn: number): PlayedConnection {
    const connection = this.#connections.get(conn);
    if (connection === undefined) throw new Error(`connection ${conn} is not open`);
    return connection;
  }

  #captured(conn: number): Connection {
    const captured = this.#capture.connections.get(conn);
    if (captured === undefined) throw new Error(`connection ${conn} was not captured`);
    return captured;
  }
}

function rangeOf(nv: NvMap): [cmd: number, offset: number, length: number] {
  return [nv.number('cmd', 'uint8') ?? 0, nv.size('offset') ?? 0, nv.size('length') ?? 0];
}

function sameState(one: DiskState | null, other: DiskState): boolean {
  const names = ['datasize', 'resuid', 'localcnt', 'remotecnt'] as const;
  return one !== null && names.every((name) => one[name] === other[name]);
}
