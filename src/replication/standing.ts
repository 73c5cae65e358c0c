/**
 * How a primary stands to its peer: may it answer, must it wait, does it go on alone, is it frozen.
 * @see SAFETY A3, A4, A5
 */
import { DiskError } from '../model/errors.ts';
import { compareEpochs, wentAlone } from '../model/record.ts';
import type { Epoch, ResourceRecord } from '../model/record.ts';
import type { EngineCore } from './core.ts';
import { describeEpoch, namesPeer } from './core.ts';
import type { GateHost } from './ack-gate.ts';

/** A link that is just being made is waited for this long before the peer is asked to record `outdated`. ms. */
const ASK_AFTER_MS = 250;
const ASK_AGAIN_MS = 500;
/** What could not be made durable is tried again after this. ms. */
const ALONE_AGAIN_MS = 1000;

export interface StandingHost {
  /** There is a link to a peer that speaks heartbeats. */
  readonly linked: boolean;
  changed(): void;
  thawed(): void;
  /** Resolves with whether everything that was written to the local disk is durable. */
  flushHere(): Promise<boolean>;
}

export class Standing implements GateHost {
  frozen: string | null = null;
  /** A3 is fulfilled in this epoch, or never was needed. */
  aloneConfirmed: boolean;
  /** The peer's remotecnt as last learnt. */
  peerRemote = 0n;
  readonly #core: EngineCore;
  readonly #host: StandingHost;
  readonly #startedAt: number;
  #heardAt = -Infinity;
  #outdated = false;
  #wasLinked = false;
  #wantedAt: number | null = null;
  #askedAt: number | null = null;
  #aloneAgainAt = -Infinity;
  #saving: Promise<void> | null = null;
  /** Higher numbers freeze; a handshake in our own epoch raises it. */
  #knownEpoch: number;
  #stopped = false;
  /** When this process last looked, and when it woke after it had not looked for longer than the lease. */
  #lookedAt: number;
  /** D5: the clash that was reported last. It comes with every heartbeat. */
  #clash = '';
  #awakeSince = -Infinity;
  #cancelWatch: () => void = () => undefined;

  /** @param aloneConfirmed false when an earlier primary may still answer (A3) */
  constructor(core: EngineCore, host: StandingHost, aloneConfirmed: boolean) {
    this.#core = core;
    this.#host = host;
    this.aloneConfirmed = aloneConfirmed;
    this.#startedAt = core.ports.clock.now();
    this.#knownEpoch = core.store.record.epoch.number;
    this.#lookedAt = this.#startedAt;
    this.#watchSelf();
  }

  get countersReady(): boolean {
    return this.#core.store.meta.localcnt !== this.peerRemote;
  }

  /** Last message of the peer on any path; the evidence of a former boot of the peer may be forgotten elsewhere. */
  heardAt(): number {
    this.#heardAt = Math.max(this.#heardAt, this.#core.ports.lease.heardAt());
    return Number.isFinite(this.#heardAt) ? this.#heardAt : this.#startedAt;
  }

  look(): void {
    this.#noteGap();
    this.heardAt();
    if (!this.aloneConfirmed && !namesPeer(this.#core) && (this.#silent() || this.#fenced()))
      this.aloneConfirmed = true;
    const number = this.#core.ports.lease.peerEpochNumber();
    if (number > this.#knownEpoch && number > this.#core.store.record.epoch.number) {
      this.#freeze(number, `the peer has epoch ${number}, ours is ${this.#core.store.record.epoch.number}`);
    }
  }

  /** Any path showed this epoch of the peer. */
  peerEpoch(epoch: Epoch): void {
    const { record } = this.#core.store;
    switch (compareEpochs(record.epoch, epoch)) {
      case 'newer':
        if (epoch.number > this.#knownEpoch)
          this.#freeze(
            epoch.number,
            `the peer has epoch ${describeEpoch(epoch)}, ours is ${describeEpoch(record.epoch)}`,
          );
        return;
      case 'clash':
        if (this.#clash === describeEpoch(epoch)) return;
        this.#clash = describeEpoch(epoch);
        this.splitBrain(
          `both nodes were primary in epoch ${epoch.number} (ids ${record.epoch.id} and ${epoch.id})`,
        );
        return;
      default:
    }
  }

  /** D5. */
  splitBrain(why: string): void {
    this.#core.report(
      'split-brain',
      'error',
      `${this.#core.setup.resource.name}: split-brain: ${why}. Decide which copy to keep: hastate resolve ${this.#core.setup.resource.name} --discard NODE`,
    );
  }

  /** `peer-outdated`: counts only while the peer is really out of reach, and was asked since. */
  peerOutdated(epoch: Epoch): void {
    if (compareEpochs(this.#core.store.record.epoch, epoch) !== 'same') return;
    if (!this.#host.linked && (this.#wantedAt !== null || !this.#wasLinked)) this.confirmAlone();
  }

  /** The peer is a full member from here on: what it said before is over. Call before the record says so. */
  rejoined(): void {
    this.#outdated = false;
    this.#wantedAt = this.#askedAt = null;
  }

  /** The peer recorded that it is out, in our epoch. */
  confirmAlone(): void {
    this.#outdated = true;
    if (!namesPeer(this.#core)) this.aloneConfirmed = true;
    this.#host.changed();
  }

  /**
   * The peer recorded that it lacks something, and so does our own disk: no record names a copy that has everything.
   * Rejects with DiskError.
   */
  async neitherComplete(): Promise<void> {
    const { self, namedPeer } = this.#core;
    if (namedPeer === null || !namesPeer(this.#core)) return;
    await this.#core.save(({ record, givenUp }) =>
      givenUp || record.inSync.includes(self)
        ? null
        : { record: { ...record, inSync: record.inSync.filter((name) => name !== namedPeer) } },
    );
    if (namesPeer(this.#core)) return;
    this.#core.report(
      'record',
      'warn',
      `${this.#core.setup.resource.name}: ${namedPeer} lacks something, too: each extent is copied from the disk that has it`,
    );
    this.confirmAlone();
  }

  /** A handshake in our own epoch succeeded. */
  linkedUp(): void {
    this.rejoined();
    this.#clash = '';
    this.#wasLinked = true;
    this.#knownEpoch = Math.max(this.#knownEpoch, this.#core.ports.lease.peerEpochNumber());
    if (this.frozen === null) return;
    this.frozen = null;
    this.#core.report(
      'thawed',
      'info',
      `${this.#core.setup.resource.name}: the peer follows our epoch again, I/O goes on`,
    );
    this.#host.thawed();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelWatch();
  }

  wantAlone(): void {
    if (this.#stopped || this.frozen !== null || this.#saving !== null) return;
    if (namesPeer(this.#core) || !this.aloneConfirmed) this.#wantOut();
    else if (!this.countersReady) this.#tryAlone();
  }

  /** Makes durable that only this disk has everything from now on. Rejects with DiskError. */
  goAlone(): Promise<void> {
    this.#saving ??= this.#saveAlone().finally(() => (this.#saving = null));
    return this.#saving;
  }

  #tryAlone(): void {
    const { clock } = this.#core.ports;
    if (clock.now() < this.#aloneAgainAt) return;
    void this.goAlone().catch(() => (this.#aloneAgainAt = clock.now() + ALONE_AGAIN_MS));
  }

  async #saveAlone(): Promise<void> {
    const named = namesPeer(this.#core);
    const generation = this.#core.ports.random.id();
    const { self } = this.#core;
    // What came back from the peer is not durable here yet, where it is all that is left.
    const mended = this.#isWhole() && this.#leavesSelf();
    if (mended && !(await this.#host.flushHere()))
      throw new DiskError(
        'disk-flush',
        `the local disk of ${this.#core.setup.resource.name} cannot be flushed, so nothing goes on with it alone: check it`,
      );
    if (named) this.aloneConfirmed = this.#outdated;
    await this.#core.save(({ record, meta, givenUp }) => {
      // Only the peer has everything: this node never goes on without it.
      if (givenUp || (mended && !this.#isWhole())) return null;
      const alone = wentAlone(record, self, generation);
      const lacks: ResourceRecord = { ...alone, inSync: record.inSync.includes(self) ? alone.inSync : [] };
      return {
        record: mended ? { ...alone, state: 'clean', inSync: [self] } : lacks,
        meta: meta.localcnt === this.peerRemote ? { ...meta, localcnt: meta.localcnt + 1n } : meta,
      };
    });
    if (named && !namesPeer(this.#core))
      this.#core.report(
        'record',
        'warn',
        `${this.#core.setup.resource.name}: going on without ${this.#core.namedPeer ?? 'the peer'}`,
      );
    this.#host.changed();
  }

  #isWhole(): boolean {
    return this.#core.map.staleCount === 0;
  }

  #leavesSelf(): boolean {
    return !this.#core.store.record.inSync.includes(this.#core.self);
  }

  /** H has passed since the peer's last message, in which we could have heard it. */
  #silent(): boolean {
    this.#noteGap();
    const since = Math.max(this.heardAt(), this.#awakeSince);
    return this.#core.ports.clock.now() >= since + this.#core.setup.timing.holdMs;
  }

  /** A peer that is certainly down since its last message answers nobody, so there is no H to wait for. */
  #fenced(): boolean {
    return this.#core.ports.lease.fencedAt() >= this.heardAt();
  }

  /** A3: what the peer does not say itself has to be known otherwise before its silence counts. */
  #out(): boolean {
    const { lease } = this.#core.ports;
    if (this.#outdated || this.#fenced()) return true;
    switch (lease.aloneNeeds()) {
      case 'silence':
        return this.#silent();
      case 'references':
        return this.#silent() && lease.referencesAt() >= Math.max(this.heardAt(), this.#awakeSince);
      case 'fence':
        return false;
    }
  }

  /** A process or machine that stood still heard nothing: that is its own gap, not the peer's silence. */
  #noteGap(): void {
    const now = this.#core.ports.clock.now();
    if (now - this.#lookedAt > this.#core.setup.timing.leaseMs) this.#awakeSince = now;
    this.#lookedAt = now;
  }

  #watchSelf(): void {
    this.#cancelWatch = this.#core.ports.clock.after(this.#core.setup.timing.heartbeatMs, () => {
      this.#noteGap();
      this.#watchSelf();
    });
  }

  /** A3: the record names the peer and something cannot be answered with it. */
  #wantOut(): void {
    if (this.#host.linked || !this.#isWhole()) return;
    const now = this.#core.ports.clock.now();
    this.#wantedAt ??= now;
    if (this.#out()) {
      this.#tryAlone();
      return;
    }
    if (now - this.#wantedAt < ASK_AFTER_MS) return;
    if (this.#askedAt !== null && now - this.#askedAt < ASK_AGAIN_MS) return;
    this.#askedAt = now;
    if (this.#leavesSelf())
      // What the peer has stays a candidate unless this node can go on with its own.
      void this.#host.flushHere().then((durable) => {
        if (durable && !this.#host.linked) this.#askOut();
      });
    else this.#askOut();
  }

  #askOut(): void {
    const { epoch } = this.#core.store.record;
    this.#core.report(
      'want-outdate',
      'warn',
      `${this.#core.setup.resource.name}: ${this.#core.namedPeer ?? 'the peer'} cannot be written to, it has to record that it is outdated`,
      { epoch },
    );
  }

  #freeze(number: number, why: string): void {
    this.#knownEpoch = number;
    const { name } = this.#core.setup.resource;
    if (!namesPeer(this.#core) && this.aloneConfirmed) {
      // A5: we were alone before; this is a split, and no reason to stop.
      this.splitBrain(`${why}, and this node went on alone before`);
      return;
    }
    this.frozen = why;
    this.#core.report('frozen', 'error', `${name}: I/O is frozen: ${why}`);
    this.#host.changed();
  }
}
