/** Drives our real primary through its device to do what a captured primary did, and plays its captured secondary. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { connectNbd, type NbdInitiator } from '../../../src/device/nbd-initiator.ts';
import { HAST_CMD, unpackPayload } from '../../../src/protocol/hast-message.ts';
import type { HastMetadata } from '../../../src/protocol/hast-metadata.ts';
import type { EngineEvent } from '../../../src/replication/messages.ts';
import { freeTcpPort } from '../free-ports.ts';
import { eventually } from '../stamped-clients.ts';
import {
  type Capture,
  type Connection,
  handshakeOf,
  type Message,
  type Session,
  settingsOf,
} from './captured.ts';
import { CapturedAnswers } from './captured-answers.ts';
import type { Compared } from './compare.ts';
import { readData, readMetadata, writeDisk } from './hast-disk.ts';
import type { PlayedConnection } from './played-connection.ts';
import { PlayedSecondary } from './played-secondary.ts';
import { RealEngine } from './real-engine.ts';

const DATASIZE = 67104256;
const MAXPHYS = 131072;
const BLOCK_BYTES = 4096;
const EXTENT_BYTES = 2 * 1024 * 1024;
const IN_SYNC = 'Nodes are in sync.';

/** What our primary sent on one connection, in the order of the capture. */
export interface Sent {
  readonly messages: readonly Compared[];
  /** Requests for which there is nothing in the capture. */
  readonly beside: readonly Compared[];
  /** How many came earlier than captured. */
  readonly swapped: number;
}

export interface Driven {
  readonly sent: ReadonlyMap<number, Sent>;
  readonly sameData: boolean;
  readonly metadata: HastMetadata;
  readonly events: readonly EngineEvent[];
}

export class PrimaryReplay {
  readonly #capture: Capture;
  readonly #worker: URL;
  readonly #host: string;
  readonly #handshakeOnly: boolean;
  readonly #directory = mkdtempSync(join(tmpdir(), 'hastate-drive-'));
  readonly #sent = new Map<number, Sent>();
  readonly #events: EngineEvent[] = [];
  #data = Buffer.alloc(DATASIZE);
  #secondary: PlayedSecondary | null = null;
  #port = 0;
  #engine: RealEngine | null = null;
  #nbd: NbdInitiator | null = null;
  #epoch = 0;
  #localcnt = 0n;

  /**
   * @param host an address of loopback that is this replay's own
   * @param handshakeOnly end each session when the primary asks for the first block
   */
  constructor(capture: Capture, worker: URL, host: string, handshakeOnly = false) {
    this.#handshakeOnly = handshakeOnly;
    this.#capture = capture;
    this.#worker = worker;
    this.#host = host;
  }

  async run(): Promise<Driven> {
    this.#port = await freeTcpPort(this.#host);
    this.#secondary = await PlayedSecondary.listen(this.#port, this.#host);
    this.#fillDisk();
    for (const [i, session] of this.#capture.sessions.entries()) {
      await this.#between(session, i);
      await this.#play(session, this.#secondary);
    }
    await this.#stop();
    const metadata = readMetadata(this.#disk);
    const sameData = readData(this.#disk).equals(this.#data);
    return { sent: this.#sent, sameData, metadata, events: this.#events };
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.#secondary?.close();
    rmSync(this.#directory, { recursive: true });
  }

  get #disk(): string {
    return join(this.#directory, 'disk.img');
  }

  async #stop(): Promise<void> {
    await this.#nbd?.disconnect();
    await this.#engine?.close();
    this.#events.push(...(this.#engine?.events ?? []));
    this.#engine = this.#nbd = null;
  }

  /** What a resync copies without a write while alone was on the disk from the start. */
  #fillDisk(): void {
    const [first] = this.#capture.sessions;
    const { request } = first === undefined ? { request: null } : handshakeOf(this.#capture, first);
    const resuid = request?.has('virgin') === true ? 0n : (request?.big('resuid', 'uint64') ?? 0n);
    this.#localcnt = request?.big('localcnt', 'uint64') ?? 0n;
    for (const session of this.#capture.sessions)
      if (!this.#wroteAlone(session))
        for (const [at, data] of this.#resynced(session)) data.copy(this.#data, at);
    for (const session of this.#capture.sessions)
      if (!this.#isResync(session))
        for (const { nv, data } of this.#requests(session)) this.#unwrite(nv, data);
    writeDisk(
      this.#disk,
      {
        ...{ datasize: DATASIZE, resuid, localcnt: this.#localcnt, map: null },
        ...{
          remotecnt: request?.big('remotecnt', 'uint64') ?? 0n,
          prevrole: resuid === 0n ? 'init' : 'primary',
        },
      },
      this.#data,
    );
  }

  /** What clients write later was not there yet. */
  #unwrite(nv: Compared['nv'], data: Buffer | null): void {
    if (nv.number('cmd', 'uint8') === HAST_CMD.WRITE && data !== null)
      this.#data.fill(0, nv.size('offset'), (nv.size('offset') ?? 0) + (nv.size('length') ?? 0));
  }

  /** A primary's first frame has version 1 after its start. It is off and on again, or alone for a while. */
  async #between(session: Session, i: number): Promise<void> {
    const restarted = i > 0 && this.#captured(session.first).p2s.messages[0]?.version === 1;
    if (restarted && session.second !== null) {
      await this.#nbd?.disconnect();
      await this.#engine?.kill();
      this.#events.push(...(this.#engine?.events ?? []));
      this.#engine = null;
    }
    if (this.#engine === null) await this.#start();
    if (this.#wroteAlone(session)) await this.#writeAlone(session);
    const { request } = handshakeOf(this.#capture, session);
    this.#localcnt = request?.big('localcnt', 'uint64') ?? this.#localcnt;
  }

  async #start(): Promise<void> {
    this.#engine = await RealEngine.start({
      ...{ worker: this.#worker, disk: this.#disk, stateDir: join(this.#directory, 'state') },
      ...{ host: this.#host, port: await freeTcpPort(this.#host) },
      resource: {
        ...{ name: 'test', remote: `tcp4://${this.#host}:${this.#port}`, source: `tcp4://${this.#host}` },
        ...settingsOf(this.#capture.name),
      },
    });
    this.#epoch += 10;
    const socketPath = await this.#engine.promote(this.#epoch);
    this.#nbd = await connectNbd({ socketPath, exportName: 'test' });
  }

  /** hastd counts localcnt up at the first write without its peer. */
  #wroteAlone(session: Session): boolean {
    const { request } = handshakeOf(this.#capture, session);
    return (
      (request?.big('localcnt', 'uint64') ?? 0n) > this.#localcnt && session !== this.#capture.sessions[0]
    );
  }

  async #writeAlone(session: Session): Promise<void> {
    const resynced = this.#resynced(session);
    const differs = ([at, data]: [number, Buffer]): boolean =>
      !data.equals(this.#data.subarray(at, at + data.length));
    // An extent that was copied was written to, if only what was there already.
    const pieces = resynced.filter(
      (piece) => differs(piece) || !resynced.some((other) => differs(other) && sameExtent(piece, other)),
    );
    if (pieces.length === 0) pieces.push([0, Buffer.alloc(BLOCK_BYTES, 'written alone ')]);
    for (const [at, data] of pieces) {
      await this.#nbd?.write(at, data);
      data.copy(this.#data, at);
    }
  }

  async #play(session: Session, secondary: PlayedSecondary): Promise<void> {
    const first = this.#captured(session.first);
    const one = await secondary.next();
    await one.untilReceived(1);
    this.#sent.set(session.first, { messages: one.received, beside: [], swapped: 0 });
    const coming = session.second === null ? null : secondary.next();
    one.send(first.s2p.messages[0]?.bytes ?? Buffer.alloc(0));
    if (session.second === null || coming === null) {
      one.close();
      return;
    }
    const two = await coming;
    await two.untilReceived(1);
    this.#sent.set(session.second, { messages: two.received, beside: [], swapped: 0 });
    one.send(first.s2p.messages[1]?.bytes ?? Buffer.alloc(0));
    const { errmsg, reply } = handshakeOf(this.#capture, session);
    if (this.#handshakeOnly) await this.#firstRequest(session, one);
    else if (errmsg === '' && Number(reply?.big('datasize', 'int64')) === DATASIZE)
      await this.#serve(session, one, two);
    // It has to find out by itself that this is no peer.
    else if (errmsg === '') await one.untilEnded();
    one.close();
    two.close();
    await this.#engine?.engine.command({ type: 'snapshot' });
  }

  /** Which way it starts to copy is what it has understood. */
  async #firstRequest(session: Session, one: PlayedConnection): Promise<void> {
    if (handshakeOf(this.#capture, session).errmsg !== '') return;
    await one.untilReceived(2);
    this.#sent.set(session.first, {
      messages: one.received.slice(0, 1),
      beside: one.received.slice(1, 2),
      swapped: 0,
    });
  }

  /** Issues what clients issued, answers every request as the real secondary did. */
  async #serve(session: Session, one: PlayedConnection, two: PlayedConnection): Promise<void> {
    const requests = this.#requests(session);
    const answers = new CapturedAnswers(requests, this.#captured(session.second ?? 0).s2p.messages);
    const [hello] = one.received.splice(0, 1);
    const until = (what: string, reached: () => boolean | Promise<boolean>): Promise<void> =>
      eventually(what, () => {
        for (const ours of one.received.splice(0)) this.#answer(answers, ours, two);
        return reached();
      });
    if (this.#isResync(session)) {
      answers.expect(...requests);
      await until('all of the resync', () => answers.allCame);
    } else {
      // A write before that goes to our disk alone, and is copied afterwards.
      await until('in sync', () => this.#engine?.events.at(-1)?.message === IN_SYNC);
      for (const request of withoutRepeats(requests)) {
        const { length } = answers.beside;
        // What comes instead counts as beside.
        if (!isReplaced(request)) answers.expect(request);
        const done = settled(this.#drive(request));
        await until(
          'the request',
          () => answers.allCame && (!isReplaced(request) || (done.over && answers.beside.length > length)),
        );
        await done.promise;
      }
    }
    // It flushes by itself what was written, and only then calls it clean (A6).
    const before = answers.beside.length;
    const flushed = this.#isResync(session) || requests.at(-1)?.nv.number('cmd', 'uint8') !== HAST_CMD.WRITE;
    await until('clean', async () => {
      const snapshot = await this.#engine?.engine.command({ type: 'snapshot' });
      const clean = snapshot?.dirtyBytes === 0 && snapshot.sync === null;
      return clean && (flushed || answers.beside.length > before);
    });
    const taken = answers.taken.filter(Boolean);
    const messages = hello === undefined ? taken : [hello, ...taken];
    this.#sent.set(session.first, { messages, beside: answers.beside, swapped: answers.swapped });
  }

  #answer(answers: CapturedAnswers, ours: Compared, two: PlayedConnection): void {
    const { request, replies } = answers.answer(ours);
    for (const reply of replies) {
      if (request?.nv.number('cmd', 'uint8') === HAST_CMD.READ) this.#applyRead(request, reply);
      two.send(reply.bytes);
    }
  }

  /** What a resync reads from the peer belongs on the disk. */
  #applyRead({ nv }: Message, reply: Compared): void {
    if (reply.data === null) return;
    const plain = unpackPayload(reply.nv, reply.data, nv.size('length') ?? 0, MAXPHYS);
    plain.copy(this.#data, nv.size('offset') ?? 0);
  }

  #drive({ nv, data }: Message): Promise<unknown> {
    const nbd = this.#nbd;
    if (nbd === null) throw new Error('there is no device');
    const offset = nv.size('offset') ?? 0;
    const length = nv.size('length') ?? 0;
    switch (nv.number('cmd', 'uint8')) {
      case HAST_CMD.WRITE: {
        const plain = Buffer.from(unpackPayload(nv, data ?? Buffer.alloc(0), length, MAXPHYS));
        plain.copy(this.#data, offset);
        return nbd.write(offset, plain);
      }
      case HAST_CMD.DELETE:
        this.#data.fill(0, offset, offset + length);
        return nbd.zero(offset, length, { mayPunch: true }).then(() => nbd.trim(offset, length));
      case HAST_CMD.FLUSH:
        return nbd.flush();
      case HAST_CMD.KEEPALIVE:
        return Promise.resolve();
      default:
        throw new Error('no client issued that');
    }
  }

  #isResync(session: Session): boolean {
    return (handshakeOf(this.#capture, session).reply?.number('mapsize', 'uint32') ?? 0) > 0;
  }

  #resynced(session: Session): [number, Buffer][] {
    if (!this.#isResync(session)) return [];
    return this.#requests(session).flatMap(({ nv, data }) =>
      data === null
        ? []
        : [[nv.size('offset') ?? 0, unpackPayload(nv, data, nv.size('length') ?? 0, MAXPHYS)]],
    );
  }

  #requests({ first }: Session): readonly Message[] {
    return this.#captured(first).p2s.messages.slice(1);
  }

  #captured(conn: number): Connection {
    const captured = this.#capture.connections.get(conn);
    if (captured === undefined) throw new Error(`connection ${conn} was not captured`);
    return captured;
  }
}

/** A plain hastd is sent zeros instead of a DELETE, and a READ, which is answered, instead of a KEEPALIVE. */
export function isReplaced({ nv }: Compared): boolean {
  const cmd = nv.number('cmd', 'uint8');
  return cmd === HAST_CMD.DELETE || cmd === HAST_CMD.KEEPALIVE;
}

/** Ten seconds of silence before each KEEPALIVE: one tells as much as two. */
function withoutRepeats(requests: readonly Message[]): Message[] {
  const isKeepalive = ({ nv }: Message): boolean => nv.number('cmd', 'uint8') === HAST_CMD.KEEPALIVE;
  const first = requests.find(isKeepalive);
  return requests.filter((request) => request === first || !isKeepalive(request));
}

function settled(promise: Promise<unknown>): { readonly promise: Promise<unknown>; over: boolean } {
  const state = { promise, over: false };
  const over = (): void => {
    state.over = true;
  };
  promise.then(over, over);
  return state;
}

function sameExtent([one]: [number, Buffer], [other]: [number, Buffer]): boolean {
  return Math.floor(one / EXTENT_BYTES) === Math.floor(other / EXTENT_BYTES);
}
