/**
 * The primary's life with its peer: connect, exchange maps, resync, join, heartbeats, and again.
 * @see hast.md sections 5 and 7, SAFETY A3-A7
 */
import { describeError } from '../model/errors.ts';
import { Backoff } from '../model/backoff.ts';
import { joined } from '../model/record.ts';
import type { ResourceSettings } from '../model/settings.ts';
import { mapBit } from '../protocol/hast-metadata.ts';
import type { NvMap } from '../protocol/nv.ts';
import type { SyncProgress } from '../protocol/control.ts';
import { ackMode, changesCandidates } from './ack-mode.ts';
import { ControlWords } from './control-words.ts';
import type { EngineCore } from './core.ts';
import { namesPeer, pause } from './core.ts';
import { commitMap, recordStale } from './disk-truth.ts';
import { HANGING_MS } from './disk-watch.ts';
import { checkWords, dial, JudgedError, RefusedError } from './dial.ts';
import type { Dialled } from './dial.ts';
import { DialFailures } from './dial-failures.ts';
import { GiveUp } from './give-up.ts';
import { Heartbeat } from './heartbeat.ts';
import { keepAlive } from './keep-alive.ts';
import { Link } from './link.ts';
import { OwnCopy } from './own-copy.ts';
import { Primary } from './primary.ts';
import type { PrimaryHost } from './primary.ts';
import { Resync } from './resync.ts';
import {
  FRESH_MS,
  RETRY_FRESH_MS,
  RETRY_JUDGED_MS,
  RETRY_MAX_MS,
  RETRY_MIN_MS,
  RETRY_REFUSED_MS,
  UNEQUAL,
  unequalText,
} from './retry-times.ts';
import { Standing } from './standing.ts';

/** A disk that failed to flush is asked again after this. */
const JOIN_RETRY_MS = 1000;

export class Peering {
  readonly primary: Primary;
  readonly standing: Standing;
  readonly own: OwnCopy;
  /** ms of the clock; null while the link is up or never was. */
  downAt: number | null = null;
  readonly #core: EngineCore;
  readonly #abort = new AbortController();
  /** Ends the attempt to connect that runs, and the pause after it. */
  #attempt = new AbortController();
  #link: Link | null = null;
  #resync: Resync | null = null;
  #heartbeat: Heartbeat | null = null;
  #version = 1;
  #joined = false;
  #joining = false;
  #loop: Promise<void> = Promise.resolve();
  readonly #failures: DialFailures;
  readonly #unequal = new Backoff(UNEQUAL);
  #peerCounters = { local: 0n, remote: 0n };
  readonly #words: ControlWords;
  readonly #giveUp: GiveUp;

  constructor(core: EngineCore, aloneConfirmed: boolean) {
    this.#core = core;
    this.#words = new ControlWords(core);
    core.asyncTold = false;
    const linked = (): boolean => this.#link?.isUp() === true && this.#link.words !== null;
    this.standing = new Standing(
      core,
      {
        get linked() {
          return linked();
        },
        changed: () => this.primary.gate.poke(),
        thawed: () => this.primary.thaw(),
        flushHere: () => this.primary.flusher.flushHere(),
      },
      aloneConfirmed,
    );
    this.#failures = new DialFailures(core, this.standing);
    this.#giveUp = new GiveUp(core, {
      flushPeer: () => this.primary.flusher.flushPeer(),
      tellPeer: async () => this.#link !== null && (await this.#words.say(this.#link, 'joined')),
      lean: () => this.own.lean(),
      dropLink: (reason) => this.#link?.close(reason),
      leftDisk: () => {
        this.#joined = false;
        this.#resync?.stop();
        this.#resync = null;
        core.verify?.interrupted('the local disk was given up');
      },
    });
    this.own = new OwnCopy(core, {
      flushPeer: (then) => this.primary.flusher.flushPeer(then),
      differs: () => (this.#joined = false),
      recorded: () => {
        this.#resync?.pump();
        // Neither its data nor what is said of it can be written: there is nothing that could be copied back.
        if (core.store.blockFailed) void this.#giveUp.now();
      },
    });
    this.primary = new Primary(core, this.#hostOf(this.standing, this.own));
  }

  /** Writes go to the peer. */
  get up(): boolean {
    return this.primary.link?.isUp() === true;
  }
  /** The peer has everything that was acknowledged, or would say so if it could. */
  get joined(): boolean {
    return this.#joined;
  }
  /** The record may name the peer still or already; by this link it has not been told so yet. */
  get joining(): boolean {
    return this.up && !this.#giveUp.whole;
  }
  /** The peer has everything that was acknowledged, and this node's record says so. */
  get complete(): boolean {
    if (!namesPeer(this.#core)) return false;
    return this.#giveUp.handsOver || (this.#joined && this.#core.map.dirtyCount === 0);
  }
  sync(): SyncProgress | null {
    return this.#resync?.progress(this.#core.ports.clock.now()) ?? null;
  }

  /** Something became dirty beside the applications' writes. */
  copyDirty(): void {
    this.#resync?.pump();
  }

  start(): void {
    if (this.#core.ports.connector !== null) this.#loop = this.#connectForever();
  }

  /** The resource has other settings than `before`. Another address: the peer is looked for there. A2: it is told. */
  reconfigured(before: ResourceSettings): void {
    const { remote, source } = this.#core.setup.resource;
    const tell = changesCandidates(this.#core, before);
    if (tell) this.#core.asyncTold = false;
    else if (remote === before.remote && source === before.source) return;
    this.#link?.close(
      tell ? 'the peer must know the new mode' : 'the address of the peer or our own changed',
    );
    this.#attempt.abort();
    // The old loop may still be on its way out.
    this.#loop = this.#loop.then(() => this.#connectForever());
  }

  /** Ends the link and stays down. Resolves at the resource's timeout at the latest: a disk may hang. */
  async stop(reason: string): Promise<void> {
    this.#abort.abort();
    this.standing.stop();
    this.primary.flusher.stop();
    this.#link?.close(reason);
    const { clock } = this.#core.ports;
    await new Promise<void>((resolve) => {
      const { stall, setup } = this.#core;
      const cancel = clock.after(stall === null ? setup.resource.timeoutMs : HANGING_MS, resolve);
      void this.#loop.finally(() => {
        cancel();
        resolve();
      });
    });
  }

  async #connectForever(): Promise<void> {
    let delay = RETRY_MIN_MS;
    const { clock } = this.#core.ports;
    const freshUntil = clock.now() + FRESH_MS;
    const attempt = new AbortController();
    this.#attempt = attempt;
    const signal = AbortSignal.any([this.#abort.signal, attempt.signal]);
    while (!signal.aborted && this.#core.ports.connector !== null) {
      let wait = delay;
      delay = Math.min(delay * 2, RETRY_MAX_MS);
      try {
        const dialled = await dial(this.#core, this.#version, signal);
        const reason = await this.#live(dialled, signal);
        if (reason === null) {
          delay = RETRY_MIN_MS;
          wait = this.#unequal.failed(clock.now());
          if (this.#unequal.isNews(wait))
            this.#core.report('refused', 'warn', unequalText(this.#core.setup.resource.name));
        }
      } catch (error) {
        if (!this.#abort.signal.aborted) await this.#failures.tell(error);
        if (error instanceof JudgedError) wait = RETRY_JUDGED_MS;
        if (error instanceof RefusedError)
          wait = clock.now() < freshUntil ? RETRY_FRESH_MS : RETRY_REFUSED_MS;
      }
      await pause(clock, wait, signal);
    }
  }

  /** @returns null when the link came up and died, else why it did not come up */
  async #live(dialled: Dialled, signal: AbortSignal): Promise<string | null> {
    const { words, version } = dialled;
    if (signal.aborted) {
      for (const each of [dialled.out, dialled.in]) each.close('the settings changed meanwhile');
      return 'the settings changed meanwhile';
    }
    this.#version = version;
    let over: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (over = resolve));
    let why = '';
    const link = new Link(this.#core, dialled.out, dialled.in, version, words, {
      control: (nv) => this.#control(nv),
      closed: (reason) => {
        why = reason;
        this.#down(link, reason);
        over();
      },
    });
    this.#heartbeat = new Heartbeat(
      this.#core,
      (fields) => link.control(fields),
      (epoch) => {
        this.standing.peerEpoch(epoch);
        link.close('the peer is in another epoch');
      },
    );
    this.#link = link;
    link.begin(dialled.early);
    try {
      if (words !== null) checkWords(this.#core, words);
      await this.#bringUp(link, dialled);
    } catch (error) {
      link.close(describeError(error));
      await ended;
      throw error;
    }
    await ended;
    this.downAt = this.#core.ports.clock.now();
    this.#core.report('disconnected', 'warn', `Disconnected from the secondary: ${why}`);
    return null;
  }

  async #bringUp(link: Link, dialled: Dialled): Promise<void> {
    const { map } = this.#core;
    this.#peerCounters = dialled.counters;
    this.standing.peerRemote = dialled.counters.remote;
    const theirs = (e: number): boolean => dialled.map !== null && mapBit(dialled.map, e);
    map.meet(theirs);
    for (let e = 0; e < map.extents; e++) if (theirs(e)) map.markDirty(e);
    if (dialled.source === 'secondary') {
      for (let e = map.nextDirty(0); e >= 0; e = map.nextDirty(e + 1)) map.markStale(e);
      // Nothing that differs counts as ours any more.
      map.ownLost = false;
      this.primary.gate.failAlone('EIO');
    }
    if (dialled.virgin && this.#core.store.meta.localcnt === 0n)
      await this.#core.save(({ meta }) => ({ meta: { ...meta, localcnt: 1n } }));
    const refusal = this.#giveUp.meet(dialled);
    if (refusal !== null) throw new Error(refusal);
    // The peer has flushed in the handshake.
    if (map.staleCount > 0) await recordStale(this.#core);
    if (!link.isUp()) return;
    this.primary.link = link;
    await commitMap(map);
    if (!link.isUp()) return;
    this.standing.linkedUp();
    this.#core.asyncTold = this.#core.setup.resource.replication === 'async';
    this.downAt = null;
    this.#core.peerProblem = null;
    keepAlive(this.#core, link, this.#heartbeat);
    this.#unequal.began(this.#core.ports.clock.now());
    this.#core.report('connected', 'info', 'Connected to the secondary.');
    if (this.#core.store.givenUp) {
      await this.#giveUp.met();
      return;
    }
    const resync = new Resync(this.#core, link, {
      busy: () => this.primary.running > 0,
      clean: () => void this.#join(link),
    });
    if (link.words === null) {
      if (namesPeer(this.#core)) await this.standing.goAlone();
      this.standing.confirmAlone();
    } else if (map.dirtyCount > map.staleCount && dialled.source === 'primary') {
      // The peer is a resync target from here on and says so durably, before anything is copied.
      if (namesPeer(this.#core)) await this.standing.goAlone();
      if (!(await this.#words.say(link, 'syncstart'))) return;
      this.standing.confirmAlone();
    }
    if (!link.isUp()) return;
    this.#resync = resync;
    resync.pump();
  }

  /** Nothing is dirty. Makes the peer a full member: it flushes, our record names it, then it is told so. */
  async #join(link: Link): Promise<void> {
    const { map } = this.#core;
    const clean = (): boolean => link.isUp() && map.dirtyCount === 0 && this.primary.withoutPeer === 0;
    if (this.#joined) {
      // A write of the link before this one, which ended after the nodes were in sync and was copied since.
      if (clean()) this.primary.gate.rejoin();
      return;
    }
    if (this.#joining || !clean()) return;
    this.#joining = true;
    let flushed = false;
    try {
      flushed = await this.primary.flusher.flushBoth();
      if (!flushed || !clean()) return;
      await this.#core.save(({ record, meta, givenUp }) => {
        if (!clean() || givenUp) return null;
        const { self, namedPeer } = this.#core;
        this.standing.rejoined();
        const whole = { ...joined(record, self), state: 'clean' as const };
        const { local, remote } = this.#peerCounters;
        return {
          record: link.words === null || namedPeer === null ? whole : joined(whole, namedPeer),
          meta: { ...meta, localcnt: remote, remotecnt: local, prevrole: 'primary' },
        };
      });
      if (!clean()) return;
      this.primary.gate.rejoin();
      if (link.words !== null && !(await this.#words.say(link, 'joined'))) return;
      if (!clean()) return;
      this.#joined = true;
      this.#giveUp.joined();
      this.#unequal.reset();
      this.#resync?.done();
      this.#core.report('record', 'info', 'Nodes are in sync.');
    } catch (error) {
      link.close(describeError(error));
    } finally {
      const again = (): void => {
        this.#joining = false;
        // Perhaps of another link, which found this one still joining.
        if (!this.#joined) this.#resync?.pump();
      };
      if (flushed) again();
      else this.#core.ports.clock.after(JOIN_RETRY_MS, again);
    }
  }

  #down(link: Link, reason: string): void {
    if (this.#link !== link) return;
    this.#core.verify?.interrupted(reason);
    this.primary.link = null;
    this.#joined = false;
    this.#giveUp.linkDied();
    this.#heartbeat?.stop();
    this.#core.map.linkDied(ackMode(this.#core) === 'async');
    this.#resync?.stop();
    this.#resync = null;
    this.#link = null;
    this.#words.linkDied();
    this.primary.gate.poke();
  }

  #control(nv: NvMap): void {
    this.#heartbeat?.take(nv);
    this.#words.heard(nv);
    this.primary.gate.poke();
  }

  #hostOf(standing: Standing, own: OwnCopy): PrimaryHost {
    return {
      get frozen() {
        return standing.frozen;
      },
      get aloneConfirmed() {
        return standing.aloneConfirmed;
      },
      get countersReady() {
        return standing.countersReady;
      },
      look: () => standing.look(),
      wantAlone: () => standing.wantAlone(),
      get ownCopyCounts() {
        return own.counts;
      },
      lean: () => own.lean(),
      giveUp: () => this.#giveUp.now(),
      standsIn: () => this.#giveUp.standsIn(),
      idle: () => {
        this.#resync?.idle();
        this.#core.verify?.idle();
      },
    };
  }
}
