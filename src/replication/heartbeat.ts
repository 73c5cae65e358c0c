/**
 * Heartbeats of hastate nodes on the data link, and the words of their handshakes, in fields
 * that a plain hastd ignores. An echo of our own clock renews the lease: the peer was alive
 * and heard us when we sent it.
 * @see SAFETY "Words", A4, A5
 */
import { compareEpochs } from '../model/record.ts';
import type { DiskState, Epoch, Generations } from '../model/record.ts';
import type { ReplicationMode } from '../model/roles.ts';
import type { NvField, NvMap } from '../protocol/nv.ts';
import { MAX_REQUEST_BYTES, MAXPHYS } from './core.ts';
import type { EngineCore } from './core.ts';

export interface PeerWords {
  readonly node: string;
  readonly boot: string;
  readonly epoch: Epoch;
  readonly generations: Generations;
  readonly state: DiskState;
  readonly inSync: readonly string[];
  /** Takes DELETE as "reads as zeros", and is quick about it. */
  readonly punches: boolean;
  /** Understands one answer to many requests. */
  readonly batches: boolean;
  /** Answers a READ that asks for it with a digest instead of the data. */
  readonly digests: boolean;
  /** Bytes of the largest request that it and this node take: a multiple of MAXPHYS. */
  readonly maxRequest: number;
  /** Of its hast.conf; null when it does not say. One that this node does not know counts as the weakest. */
  readonly mode: ReplicationMode | null;
}

const STATES: readonly string[] = ['virgin', 'clean', 'outdated', 'inconsistent'];
const u64 = (name: string, value: number | bigint): NvField => ({ name, type: 'uint64', value });
const text = (name: string, value: string): NvField => ({ name, type: 'string', value });

export function idToWire(id: string): bigint {
  return BigInt(`0x${id}`);
}
export function idFromWire(value: bigint | undefined): string {
  return (value ?? 0n).toString(16).padStart(16, '0');
}

export function epochFields(epoch: Epoch): NvField[] {
  return [u64('epoch', epoch.number), u64('epochid', idToWire(epoch.id))];
}

/** @throws WireError when the fields have other types */
export function readEpoch(nv: NvMap): Epoch | null {
  const number = nv.size('epoch');
  return number === undefined ? null : { number, id: idFromWire(nv.big('epochid', 'uint64')) };
}

/**
 * What a hastate node says of itself and its disk.
 * @param state of its record, unless it knows better
 */
export function wordsFields(core: EngineCore, state: DiskState = core.store.record.state): NvField[] {
  const { record } = core.store;
  return [
    { name: 'hastate', type: 'uint8', value: 1 },
    text('node', core.self),
    text('boot', core.setup.boot),
    ...epochFields(record.epoch),
    u64('gen', idToWire(record.generations.current)),
    u64('genprev', idToWire(record.generations.previous)),
    text('hstate', state),
    text('insync', record.inSync.join(',')),
    text('mode', core.setup.resource.replication),
    ...(core.ports.disk.punch === undefined ? [] : [{ name: 'punches', type: 'uint8', value: 1 } as const]),
    { name: 'batches', type: 'uint8', value: 1 },
    { name: 'digests', type: 'uint8', value: 1 },
    { name: 'maxreq', type: 'uint32', value: MAX_REQUEST_BYTES },
  ];
}

/** Null when the sender is a plain hastd. @throws WireError */
export function readWords(nv: NvMap): PeerWords | null {
  if (!nv.has('hastate')) return null;
  const state = nv.string('hstate') ?? '';
  const inSync = nv.string('insync') ?? '';
  const mode = nv.string('mode');
  return {
    node: nv.string('node') ?? '',
    boot: nv.string('boot') ?? '',
    epoch: readEpoch(nv) ?? { number: 0, id: idFromWire(0n) },
    generations: {
      current: idFromWire(nv.big('gen', 'uint64')),
      previous: idFromWire(nv.big('genprev', 'uint64')),
    },
    state: STATES.includes(state) ? (state as DiskState) : 'inconsistent',
    inSync: inSync === '' ? [] : inSync.split(','),
    punches: nv.has('punches'),
    batches: nv.has('batches'),
    digests: nv.has('digests'),
    maxRequest: commonRequest(nv.number('maxreq', 'uint32') ?? MAXPHYS),
    mode: mode === undefined ? null : mode === 'fullsync' || mode === 'memsync' ? mode : 'async',
  };
}

function commonRequest(theirs: number): number {
  const most = Math.min(MAX_REQUEST_BYTES, Math.floor(theirs / MAXPHYS) * MAXPHYS);
  return Math.max(MAXPHYS, most);
}

export class Heartbeat {
  readonly #core: EngineCore;
  readonly #send: (fields: NvField[]) => void;
  readonly #onEpoch: (epoch: Epoch) => void;
  #lastHeard = 0;
  #cancel: (() => void) | null = null;

  /** @param onEpoch called with the peer's epoch when it is not older than ours and not ours */
  constructor(core: EngineCore, send: (fields: NvField[]) => void, onEpoch: (epoch: Epoch) => void) {
    this.#core = core;
    this.#send = send;
    this.#onEpoch = onEpoch;
  }

  /** Beats now and every `heartbeatMs` until stop(); `each` runs with every beat. */
  start(each: () => void): void {
    const tick = (): void => {
      this.#cancel = this.#core.ports.clock.after(this.#core.setup.timing.heartbeatMs, tick);
      this.beat();
      each();
    };
    tick();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  beat(): void {
    this.#send([
      u64('hb', Math.floor(this.#core.ports.clock.now() * 1000)),
      u64('echo', this.#lastHeard),
      ...epochFields(this.#core.store.record.epoch),
    ]);
  }

  /** @returns true when the frame carries a heartbeat. @throws WireError */
  take(nv: NvMap): boolean {
    const hb = nv.size('hb');
    if (hb === undefined) return false;
    this.#lastHeard = hb;
    const echo = nv.size('echo') ?? 0;
    const { lease, clock } = this.#core.ports;
    if (echo > 0) lease.renew(Math.min(echo / 1000, clock.now()));
    const epoch = readEpoch(nv);
    if (epoch !== null) {
      const order = compareEpochs(this.#core.store.record.epoch, epoch);
      if (order === 'newer' || order === 'clash') this.#onEpoch(epoch);
    }
    return true;
  }
}
