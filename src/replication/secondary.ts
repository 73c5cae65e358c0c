/**
 * A secondary: answers the handshakes of a primary, keeps one session, and what its disk is worth.
 * @see hast.md section 5, SAFETY A5, B3, B4, B7, D4, D5
 */
import { Buffer } from 'node:buffer';
import { describeError, NetError } from '../model/errors.ts';
import { adopted, compareEpochs, NO_ID, VIRGIN_RECORD } from '../model/record.ts';
import type { ResourceRecord } from '../model/record.ts';
import type { ResourceQueues } from '../protocol/control.ts';
import { METADATA_BYTES } from '../protocol/hast-metadata.ts';
import type { FrameReader } from '../protocol/hast-message.ts';
import { encodeFrame, packPayload } from '../protocol/hast-message.ts';
import type { NvField, NvMap } from '../protocol/nv.ts';
import type { EngineCore } from './core.ts';
import { describeEpoch } from './core.ts';
import { flushLocal, markEverything } from './disk-truth.ts';
import { epochFields, readWords, wordsFields } from './heartbeat.ts';
import type { PeerWords } from './heartbeat.ts';
import { dirtyBits } from './map-image.ts';
import { distrusts, proven, tellRefusal } from './peer-proof.ts';
import type { ConnectionPort } from './ports.ts';
import { Session } from './session.ts';
import { decideByCounters, decideByHistory, sizeMismatch, SPLIT_BRAIN } from './split-brain.ts';
import type { MeetingVerdict } from './split-brain.ts';

/** What the acceptor hands over when both connections are there. */
export interface Meeting {
  readonly incoming: ConnectionPort;
  readonly out: ConnectionPort;
  readonly reader: FrameReader;
  readonly version: number;
  /** The request on the second connection. */
  readonly request: NvMap;
  /** What the two nodes chose for this handshake. */
  readonly nonce: Buffer | null;
  readonly token: Buffer;
}

interface Asked {
  readonly words: PeerWords | null;
  readonly resuid: bigint;
  readonly local: bigint;
  readonly remote: bigint;
  readonly virgin: boolean;
  /** Bytes; null when a plain hastd did not say. */
  readonly datasize: number | null;
  readonly extentsize: number | null;
}

export class Secondary {
  /** When the data link to a primary died; null while it is up or never was. ms of the clock. */
  downAt: number | null = null;
  readonly #core: EngineCore;
  #session: Session | null = null;
  #last: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(core: EngineCore) {
    this.#core = core;
  }

  get up(): boolean {
    return this.#session?.isUp() === true;
  }

  queues(): ResourceQueues | null {
    return this.#session?.isUp() === true ? this.#session.queues() : null;
  }

  /** A primary came: replaces the session there is. */
  meet(meeting: Meeting): void {
    this.#last = this.#last
      .then(() => this.#meet(meeting))
      .catch((error: unknown) => {
        meeting.incoming.close(describeError(error));
        meeting.out.close(describeError(error));
      });
  }

  /**
   * B7: reads the link to its end, applies what is complete, ends the link. Nobody is met afterwards.
   * The caller flushes.
   */
  async finish(): Promise<void> {
    this.#stopped = true;
    await this.#last;
    await this.#session?.drain();
    this.#session?.close('this node becomes primary');
    await this.#session?.idle();
  }

  /** Ends the link; nobody is met afterwards. */
  async stop(reason: string): Promise<void> {
    this.#stopped = true;
    await this.#last;
    this.#session?.close(reason);
    await this.#session?.idle();
  }

  /** Ends the link, a primary may come again. */
  drop(reason: string): void {
    this.#session?.close(reason);
  }

  async #meet(meeting: Meeting): Promise<void> {
    if (this.#stopped) throw new NetError('role-changing', 'this node is changing its role');
    const lost: string[] = [];
    for (const connection of [meeting.incoming, meeting.out])
      connection.onClose((reason) => lost.push(reason));
    const { nonce, token } = meeting;
    const distrust = distrusts(this.#core, { sender: 'primary', nonce, token }, meeting.request, null);
    if (distrust !== null) {
      this.#refuse(meeting, distrust);
      tellRefusal(this.#core, `the primary at ${meeting.incoming.remoteAddress} was refused: ${distrust}`);
      return;
    }
    this.#session?.close('a new connection of the primary takes its place');
    await this.#session?.idle();
    const { request } = meeting;
    const asked: Asked = {
      words: this.#core.setup.peerKind === 'hastate' ? readWords(request) : null,
      resuid: request.big('resuid', 'uint64') ?? 0n,
      local: request.big('localcnt', 'uint64') ?? 0n,
      remote: request.big('remotecnt', 'uint64') ?? 0n,
      virgin: request.has('virgin'),
      datasize: request.has('datasize') ? Number(request.big('datasize', 'int64')) : null,
      extentsize: request.number('extentsize', 'int32') ?? null,
    };
    const wasVirgin = this.#core.store.meta.resuid === 0n;
    const verdict = this.#judge(asked);
    if (verdict.kind !== 'sync') {
      const message = verdict.kind === 'refuse' ? verdict.message : SPLIT_BRAIN;
      this.#refuse(meeting, message);
      if (verdict.kind !== 'split-brain') tellRefusal(this.#core, message);
      else if (this.#core.peerProblem !== message) {
        this.#core.peerProblem = message;
        this.#core.report(
          'split-brain',
          'error',
          `${this.#core.setup.resource.name}: split-brain with ${asked.words?.node ?? meeting.incoming.remoteAddress}: both disks went on apart. ` +
            `Decide which copy to keep: hastate resolve ${this.#core.setup.resource.name} --discard NODE`,
        );
      }
      return;
    }
    // What is still in the disk's cache need not be copied if it can be flushed now.
    await flushLocal(this.#core);
    // A disk that gets an identity stays marked for a full copy until it has it.
    if (verdict.full) await markEverything(this.#core.map);
    await this.#follow(asked);
    if (lost[0] !== undefined) throw new NetError('peer-closed', `connection closed: ${lost[0]}`);
    this.#reply(meeting, asked, verdict, wasVirgin);
    const session: Session = new Session(
      this.#core,
      meeting.incoming,
      meeting.out,
      meeting.reader,
      meeting.version,
      asked.words,
      {
        syncStart: (words) => this.#syncStart(session, words),
        inSync: (words) => this.#inSync(session, words),
        damaged: () => this.#damaged(),
        refused: (reason) => tellRefusal(this.#core, `the primary refused this node: ${reason}`),
        closed: (reason, at) => {
          this.downAt = at;
          this.#core.report('disconnected', 'warn', `Disconnected from the primary: ${reason}`);
        },
      },
    );
    this.#session = session;
    this.#core.peerProblem = null;
    this.downAt = null;
    this.#core.report('connected', 'info', `Connected to the primary at ${meeting.incoming.remoteAddress}.`);
    session.start();
  }

  #judge(asked: Asked): MeetingVerdict {
    const { meta, record } = this.#core.store;
    const message = sizeMismatch(meta, asked);
    if (message !== null) return { kind: 'refuse', message };
    if (asked.words !== null) {
      const order = compareEpochs(record.epoch, asked.words.epoch);
      if (order === 'older')
        return {
          kind: 'refuse',
          message: `Epoch ${describeEpoch(asked.words.epoch)} of ${asked.words.node} is over: this node knows epoch ${describeEpoch(record.epoch)}.`,
        };
      if (order === 'clash') return { kind: 'split-brain' };
    }
    if (meta.resuid === 0n) return { kind: 'sync', source: 'primary', full: !asked.virgin };
    if (meta.resuid !== asked.resuid)
      return {
        kind: 'refuse',
        message: `Resource unique ID mismatch (primary=${asked.resuid}, secondary=${meta.resuid}).`,
      };
    const byHistory = asked.words === null ? null : decideByHistory(record, asked.words);
    return (
      byHistory ??
      decideByCounters(
        { local: meta.localcnt, remote: meta.remotecnt },
        { local: asked.local, remote: asked.remote },
      )
    );
  }

  /** Before anything is answered, the record follows the primary (D4) and claims nothing that may be over. */
  async #follow({ words, resuid }: Asked): Promise<void> {
    const { self } = this.#core;
    const before = this.#core.store.record;
    await this.#core.save(({ record, meta }) => {
      const next: ResourceRecord =
        words === null ? strangersRecord(record, meta.resuid === 0n) : followed(record, words, self);
      const same = meta.resuid === resuid && JSON.stringify(next) === JSON.stringify(record);
      if (same) return null;
      return {
        record: next,
        meta: meta.resuid === resuid ? meta : { ...meta, resuid, prevrole: 'secondary' },
      };
    });
    const after = this.#core.store.record;
    const member =
      words !== null &&
      after.state === 'clean' &&
      words.inSync.includes(self) &&
      before.generations.current === words.generations.current;
    // A2: what an asynchronous primary acknowledged comes only with the resync, whatever it promises from now on.
    const promised = this.#core.primaryMode !== 'async' || words?.mode === 'async';
    this.#core.primaryMode = words?.mode ?? null;
    if (member && promised && this.#core.freshness.kind === 'inSync') return;
    const { state } = this.#core.store.record;
    this.#core.freshness =
      state === 'outdated' || state === 'inconsistent'
        ? { kind: state }
        : { kind: 'unknown', why: words === null ? 'its primary is a plain hastd' : 'it is just joining' };
  }

  #reply(
    meeting: Meeting,
    asked: Asked,
    verdict: Extract<MeetingVerdict, { kind: 'sync' }>,
    virgin: boolean,
  ): void {
    const { meta } = this.#core.store;
    const mapsize = virgin && asked.virgin ? 0 : meta.offset - METADATA_BYTES;
    const fields: NvField[] = [
      ...this.#sizes(),
      ...(virgin ? [{ name: 'virgin', type: 'int8', value: 1 } as const] : []),
      { name: 'syncsrc', type: 'uint8', value: verdict.source === 'primary' ? 1 : 2 },
      { name: 'mapsize', type: 'uint32', value: mapsize },
      ...(asked.words === null
        ? []
        : [
            ...wordsFields(this.#core),
            { name: 'freshness', type: 'string', value: this.#core.freshness.kind } as const,
          ]),
    ];
    const { nonce, token } = meeting;
    const proof = { sender: 'secondary', nonce, token } as const;
    if (mapsize === 0) {
      meeting.incoming.send(...encodeFrame(meeting.version, proven(this.#core, proof, fields)));
      return;
    }
    const bits = verdict.full ? Buffer.alloc(mapsize, 0xff) : dirtyBits(this.#core.map, mapsize);
    const { checksum, compression } = this.#core.setup.resource;
    const packed = packPayload(bits, checksum, compression);
    const all = proven(this.#core, proof, [...fields, ...packed.fields], packed.data);
    meeting.incoming.send(...encodeFrame(meeting.version, all, packed.data));
  }

  #refuse(meeting: Meeting, message: string): void {
    const { nonce, token, version } = meeting;
    const fields: NvField[] = [
      ...this.#sizes(),
      { name: 'errmsg', type: 'string', value: message },
      ...(this.#core.setup.peerKind === 'hastate' ? epochFields(this.#core.store.record.epoch) : []),
    ];
    const proof = { sender: 'secondary', nonce, token } as const;
    meeting.incoming.send(...encodeFrame(version, proven(this.#core, proof, fields)));
    meeting.incoming.close(message);
    meeting.out.close(message);
  }

  #sizes(): NvField[] {
    const { meta } = this.#core.store;
    return [
      { name: 'datasize', type: 'int64', value: meta.datasize },
      { name: 'extentsize', type: 'int32', value: meta.extentsize },
      { name: 'localcnt', type: 'uint64', value: meta.localcnt },
      { name: 'remotecnt', type: 'uint64', value: meta.remotecnt },
    ];
  }

  async #syncStart(session: Session, words: PeerWords): Promise<void> {
    this.#core.freshness = { kind: 'inconsistent' };
    await this.#core.save(({ record }) => ({
      record: { ...fromWords(record, words), state: 'inconsistent' },
    }));
    if (session !== this.#session) throw new NetError('replaced', 'the session was replaced');
    this.#core.report('sync-started', 'info', 'The primary synchronizes this disk.');
  }

  async #inSync(session: Session, words: PeerWords): Promise<void> {
    await this.#core.save(({ record }) => {
      if (session.hurt || !session.isUp() || compareEpochs(record.epoch, words.epoch) !== 'same')
        throw new NetError('replaced', 'the primary of this session is over');
      return { record: adopted(fromWords(record, words)) };
    });
    if (session.hurt || !session.isUp() || session !== this.#session)
      throw new NetError('replaced', 'the session was replaced');
    this.#core.map.forgetDirty();
    this.#core.store.settleDoubt();
    this.#core.freshness = { kind: 'inSync' };
    this.#core.report('sync-done', 'info', 'This disk has everything.');
  }

  /** memsync may have acknowledged what this disk refused: it is no candidate until it was resynced. */
  #damaged(): void {
    this.#core.freshness = { kind: 'inconsistent' };
    void this.#core
      .save(({ record }) => ({ record: { ...record, state: 'inconsistent' } }))
      .catch(() => undefined);
  }
}

function fromWords(record: ResourceRecord, words: PeerWords): ResourceRecord {
  return {
    ...record,
    epoch: words.epoch,
    generations: words.generations,
    primary: words.node,
    inSync: words.inSync,
    released: false,
  };
}

/** The record after meeting a hastate primary: nothing here is claimed that it does not claim too. */
function followed(record: ResourceRecord, words: PeerWords, self: string): ResourceRecord {
  const base = { ...record, epoch: words.epoch, primary: words.node, released: false };
  // It is behind us: our disk is the source, and stays what it is.
  const weAreSource =
    words.state === 'inconsistent' || words.generations.current === record.generations.previous;
  if (weAreSource && record.generations.current !== NO_ID) return base;
  const left = record.state === 'clean' && !words.inSync.includes(self);
  return { ...base, inSync: words.inSync, state: left ? 'outdated' : record.state };
}

/** A plain hastd's writes belong to no history of ours. */
function strangersRecord(record: ResourceRecord, virgin: boolean): ResourceRecord {
  return { ...VIRGIN_RECORD, epoch: record.epoch, state: virgin ? 'virgin' : 'outdated' };
}
