/**
 * The primary's half of the handshake: two connections, a token, the peer's activemap.
 * @see hast.md section 5
 */
import { Buffer } from 'node:buffer';
import { describeError, NetError, WireError } from '../model/errors.ts';
import { compareHistories, NO_ID } from '../model/record.ts';
import type { DiskState, Epoch } from '../model/record.ts';
import {
  aboveOurs,
  encodeFrame,
  FrameReader,
  HAST_CMD,
  HAST_VERSION,
  refusesVersion,
  unpackPayload,
} from '../protocol/hast-message.ts';
import type { Frame } from '../protocol/hast-message.ts';
import { mapBit } from '../protocol/hast-metadata.ts';
import type { HastMetadata } from '../protocol/hast-metadata.ts';
import { NONCE_BYTES } from '../protocol/link-proof.ts';
import type { NvField } from '../protocol/nv.ts';
import type { EngineCore } from './core.ts';
import { namesPeer } from './core.ts';
import { idToWire, readEpoch, readWords, wordsFields } from './heartbeat.ts';
import type { PeerWords } from './heartbeat.ts';
import { distrusts, isAuthentic, proven } from './peer-proof.ts';
import type { Proof } from './peer-proof.ts';
import type { ConnectionPort } from './ports.ts';
import { sizeMismatch, SPLIT_BRAIN } from './split-brain.ts';
import type { Counters } from './split-brain.ts';

const TOKEN_BYTES = 16;

/** The peer said no. */
export class RefusedError extends NetError {
  /** hastd's `wait`: it is primary and may be told to change soon. */
  readonly wait: boolean;
  readonly epoch: Epoch | null;

  constructor(message: string, wait: boolean, epoch: Epoch | null) {
    super('peer-refused', message);
    this.wait = wait;
    this.epoch = epoch;
  }
}

/** We said no to what the peer is or has; it is told. */
export class JudgedError extends NetError {}

export interface Dialled {
  readonly out: ConnectionPort;
  readonly in: ConnectionPort;
  readonly version: number;
  readonly words: PeerWords | null;
  readonly counters: Counters;
  /** The peer's disk had never met a primary. */
  readonly virgin: boolean;
  readonly source: 'primary' | 'secondary';
  /** Bits of extents that the peer wants copied; null = none. */
  readonly map: Buffer | null;
  /** What arrived on `in` already. */
  readonly early: readonly Buffer[];
}

/**
 * @param firstVersion of the first frame's header: 1 at start, then what was last agreed
 * @throws NetError when the peer cannot be reached or does not keep to the protocol; RefusedError
 */
export async function dial(core: EngineCore, firstVersion: number, signal: AbortSignal): Promise<Dialled> {
  const { connector } = core.ports;
  const timeout = core.setup.resource.timeoutMs;
  if (connector === null) throw new NetError('no-remote', `${core.setup.resource.name} has no remote`);
  const out = await connector.connect(timeout, signal);
  let back: ConnectionPort | null = null;
  let agreed = HAST_VERSION;
  try {
    const frames = new FrameQueue(core, out);
    const name: NvField = { name: 'resource', type: 'string', value: core.setup.resource.name };
    const nonce = core.setup.linkKey === null ? null : core.ports.random.bytes(NONCE_BYTES);
    const greeting: NvField[] = [name, { name: 'version', type: 'uint8', value: HAST_VERSION }];
    if (nonce !== null) greeting.push({ name: 'nonce', type: 'bytes', value: nonce });
    out.send(...encodeFrame(firstVersion, greeting));
    const hello = await frames.next(timeout, signal);
    refuse(core, { sender: 'secondary', nonce, token: null }, hello);
    const version = Math.max(hello.nv.number('version', 'uint8') ?? 1, 0);
    if (version > HAST_VERSION) throw new JudgedError('peer-version', aboveOurs(version));
    agreed = version;
    const token = hello.nv.bytes('token');
    if (token?.length !== TOKEN_BYTES) throw new NetError('peer-token', 'the peer sent no usable token');
    const tokenCopy = Buffer.from(token);
    back = await connector.connect(timeout, signal);
    const early: Buffer[] = [];
    const lost: string[] = [];
    let earlyBytes = 0;
    back.onData((chunk) => {
      early.push(chunk);
      earlyBytes += chunk.length;
      if (earlyBytes > MAX_EARLY_BYTES) back?.close('it said more than it was asked');
    });
    back.onClose((reason) => lost.push(reason));
    const virgin = await ensureResuid(core);
    const { meta } = core.store;
    const request: NvField[] = [
      name,
      { name: 'token', type: 'bytes', value: tokenCopy },
      ...(virgin ? [{ name: 'virgin', type: 'int8', value: 1 } as const] : []),
      { name: 'resuid', type: 'uint64', value: meta.resuid },
      { name: 'localcnt', type: 'uint64', value: meta.localcnt },
      { name: 'remotecnt', type: 'uint64', value: meta.remotecnt },
      ...(core.setup.peerKind === 'hastate'
        ? [...wordsFields(core, saidState(core)), ...sizeFields(meta)]
        : []),
    ];
    back.send(...encodeFrame(version, proven(core, { sender: 'primary', nonce, token: tokenCopy }, request)));
    const reply = await frames.next(timeout, signal);
    const proof = { sender: 'secondary', nonce, token: tokenCopy } as const;
    refuse(core, proof, reply);
    const distrust = distrusts(core, proof, reply.nv, reply.data);
    if (distrust !== null) throw new JudgedError('peer-unproven', distrust);
    const result = readSession(core, reply);
    frames.release();
    if (lost[0] !== undefined) throw new NetError('peer-closed', `connection closed: ${lost[0]}`);
    return { out, in: back, version, early, ...result };
  } catch (error) {
    const reason = `handshake failed: ${describeError(error)}`;
    // A secondary that has answered has begun its session: a hastd takes this for a keepalive.
    if (error instanceof JudgedError)
      out.send(
        ...encodeFrame(agreed, [
          { name: 'cmd', type: 'uint8', value: HAST_CMD.KEEPALIVE },
          { name: 'refused', type: 'string', value: error.message },
        ]),
      );
    out.close(reason);
    back?.close(reason);
    throw error;
  }
}

/** @throws RefusedError for a peer that went on without this node */
export function checkWords({ store }: EngineCore, { epoch, generations }: PeerWords): void {
  const { record } = store;
  if (epoch.number > record.epoch.number)
    throw new RefusedError(`the peer is in epoch ${epoch.number}`, false, epoch);
  if (compareHistories(record.generations, generations) === 'diverged')
    throw new RefusedError(SPLIT_BRAIN, false, null);
}

function readSession(
  core: EngineCore,
  { nv, data }: Frame,
): Omit<Dialled, 'out' | 'in' | 'version' | 'early'> {
  const { meta } = core.store;
  const datasize = Number(nv.big('datasize', 'int64') ?? 0n);
  const extentsize = nv.number('extentsize', 'int32') ?? 0;
  const mismatch = sizeMismatch(meta, { datasize, extentsize });
  if (mismatch !== null) throw new JudgedError('peer-size', mismatch);
  const source = nv.number('syncsrc', 'uint8') === 2 ? 'secondary' : 'primary';
  const mapsize = nv.number('mapsize', 'uint32') ?? 0;
  let map: Buffer | null = null;
  if (mapsize > 0) {
    if (data === null) throw new JudgedError('peer-map', 'the peer announced an activemap and sent none');
    map = Buffer.from(unpackPayload(nv, data, mapsize, MAX_MAP_BYTES));
    if (map.length * 8 < core.map.extents)
      throw new JudgedError(
        'peer-map',
        `the peer's activemap has ${map.length} bytes for ${core.map.extents} extents`,
      );
  }
  const words = core.setup.peerKind === 'hastate' ? readWords(nv) : null;
  const virgin = nv.has('virgin');
  // The second time it has an identity, but no history, and every bit is set, until it has everything.
  const isNew = virgin || (words?.generations.current === NO_ID && isFull(map, core.map.extents));
  if (isNew && core.map.lostCount > 0) throw new JudgedError('peer-new', lacksWhatOnlyPeerHad(core));
  return {
    words,
    counters: { local: nv.big('localcnt', 'uint64') ?? 0n, remote: nv.big('remotecnt', 'uint64') ?? 0n },
    virgin,
    source,
    map,
  };
}

/**
 * A primary that lacks something takes what differs from a peer that has everything. Where neither has, its own map
 * knows of every extent which of the two copies is good.
 */
function saidState(core: EngineCore): DiskState {
  const { state } = core.store.record;
  return state === 'inconsistent' && !namesPeer(core) ? 'clean' : state;
}

function isFull(map: Buffer | null, extents: number): boolean {
  if (map === null) return false;
  for (let e = 0; e < extents; e++) if (!mapBit(map, e)) return false;
  return true;
}

function lacksWhatOnlyPeerHad({ setup }: EngineCore): string {
  const { name } = setup.resource;
  return (
    `the disk of the primary lacks data that only its peer had, and the disk of the peer is new: bring the old one back, ` +
    `or restart ${name} on the primary and do without that data with 'hastate promote --force'`
  );
}

/** A resource gets its identity at the first handshake. @returns true when this is it */
async function ensureResuid(core: EngineCore): Promise<boolean> {
  if (core.store.meta.resuid !== 0n) return false;
  const resuid = idToWire(core.ports.random.id());
  await core.save(({ meta }) => ({ meta: { ...meta, resuid, prevrole: 'primary' } }));
  return true;
}

function refuse(core: EngineCore, proof: Proof, { nv, data }: Frame): void {
  const message = nv.string('errmsg');
  if (message === undefined) return;
  // An epoch freezes this node, so it counts only when it surely comes from the peer (A5, E3).
  const epoch = isAuthentic(core, proof, nv, data) ? readEpoch(nv) : null;
  throw new RefusedError(message, nv.has('wait'), epoch);
}

function sizeFields({ datasize, extentsize }: HastMetadata): NvField[] {
  return [
    { name: 'datasize', type: 'int64', value: datasize },
    { name: 'extentsize', type: 'int32', value: extentsize },
  ];
}

/** Bytes of an activemap that are taken at most: 256 TiB in extents of 2 MiB. */
const MAX_MAP_BYTES = 16 * 1024 * 1024;

/** A peer says one thing at a time in a handshake, and nothing on the second connection before the first request. */
const MAX_EARLY_FRAMES = 4;
const MAX_EARLY_BYTES = 64 * 1024;

/** Frames of one connection, one at a time. */
class FrameQueue {
  readonly #core: EngineCore;
  readonly #connection: ConnectionPort;
  #frames: Frame[] = [];
  #failure: Error | null = null;
  #wake: (() => void) | null = null;

  constructor(core: EngineCore, connection: ConnectionPort) {
    this.#core = core;
    this.#connection = connection;
    const reader = new FrameReader({ maxNvBytes: 64 * 1024, maxDataBytes: MAX_MAP_BYTES });
    connection.onData((chunk) => {
      try {
        this.#frames.push(...reader.push(chunk));
        if (this.#frames.length > MAX_EARLY_FRAMES)
          throw new NetError('peer-protocol', 'the peer said more than it was asked');
      } catch (error) {
        const later =
          error instanceof WireError && error.code === 'frame-version' ? refusesVersion(chunk) : null;
        if (later !== null) this.#fail(new JudgedError('peer-version', later));
        else this.#fail(error instanceof Error ? error : new Error(String(error)));
      }
      this.#wake?.();
    });
    connection.onClose((reason) => this.#fail(new NetError('peer-closed', `connection closed: ${reason}`)));
  }

  async next(timeoutMs: number, signal: AbortSignal): Promise<Frame> {
    const cancel = this.#core.ports.clock.after(timeoutMs, () =>
      this.#fail(new NetError('peer-timeout', `no handshake answer within ${timeoutMs} ms`)),
    );
    const onAbort = (): void => this.#fail(new NetError('aborted', 'the handshake was given up'));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        const frame = this.#frames.shift();
        if (frame !== undefined) return frame;
        if (this.#failure !== null) throw this.#failure;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      cancel();
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** @throws NetError when the connection died meanwhile */
  release(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#frames.length > 0) throw new NetError('peer-protocol', 'the peer said more than it was asked');
    this.#connection.onData(() => undefined);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }
}
