/**
 * The other node, as heard on all paths: runs the peer channel and the link chart, answers the
 * peer's requests, and turns every piece of news into a fresh judgement of the groups.
 */
import type { Actor } from 'xstate';

import { linkMachine, type LinkVerdict } from '../../../machines/link.ts';
import { mayPromote } from '../../model/decision.ts';
import { HastateError, NetError, describeError } from '../../model/errors.ts';
import type { Epoch } from '../../model/record.ts';
import { timingDigest } from '../../protocol/peer-message.ts';
import type { HeartbeatBody, PeerHeartbeat, PeerMethod } from '../../protocol/peer-message.ts';
import { createPeerChannel } from '../../net/peer-channel.ts';
import type { PeerCredentials } from '../../net/peer-channel-trust.ts';
import type { PeerChannel } from '../../net/peer-channel-types.ts';
import type { Runtime } from '../runtime.ts';
import { runChart } from './actors.ts';
import { heardOn, recordsOf } from './evidence.ts';
import { refusesHandover } from '../../model/handover.ts';
import type { Group } from './group.ts';
import { holdsOff } from './group-phase.ts';
import type { Member } from './members.ts';
import { Outdater } from './outdater.ts';
import { OwnGap } from './own-gap.ts';
import type { References } from './references.ts';
import { RecordExchange } from './record-exchange.ts';

/** Heartbeats of the peer that may be missing before somebody else is asked whether the fault is ours. */
const UNHEARD_BEATS = 2;
/** How often shared memory is looked at for news of the data link, and how often while all is well. ms */
const TICK_MS = 25;
const CALM_TICK_MS = 50;
const OUTDATE_RETRY_MS = 200;
/** An answer that comes later could be about an outage before a rejoin: it counts no more. */
const OUTDATE_ANSWER_MS = 400;
const HANDOVER_MS = 40_000;

export interface LinkOptions {
  readonly runtime: Runtime;
  readonly members: ReadonlyMap<string, Member>;
  readonly groups: ReadonlyMap<string, Group>;
  readonly version: string;
  readonly references: Pick<References, 'lost' | 'hurry'>;
  /** Another way to the peer, for a simulation. */
  readonly createChannel?: typeof createPeerChannel;
  /** Digest of a group's address settings; null where it has none or another program elects. */
  addressSet(group: string): string | null;
  /** The peer is healthy again for some group, and may take over what this node cannot lead. */
  peerRecovered(): void;
  switchAway(group: Group, params: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** The other node's part of `hastate resolve`. */
  resolve(params: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** The other node's operator has a resource verified that is primary here. */
  verify(params: Readonly<Record<string, unknown>>): Promise<unknown>;
  composeStatus(): unknown;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #runtime: Runtime;
  readonly #actor: Actor<typeof linkMachine> | null;
  readonly #channel: PeerChannel | null;
  readonly #exchange: RecordExchange;
  readonly #ownGap: OwnGap;
  readonly #outdater: Outdater;
  readonly #outdateAskedAt = new Map<string, number>();
  #lastHeard = Number.NEGATIVE_INFINITY;
  #toldHeardAt = Number.NEGATIVE_INFINITY;
  #cancelTick: (() => void) | null = null;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#runtime = options.runtime;
    this.#exchange = new RecordExchange(options.runtime);
    this.#ownGap = new OwnGap(options.runtime);
    this.#outdater = new Outdater(options.runtime);
    const { peer } = options.runtime.settings;
    this.#channel = peer === null || peer.addresses.length === 0 ? null : this.#createChannel(peer);
    this.#actor = peer === null ? null : this.#createChart(peer.name);
  }

  #createChannel(peer: NonNullable<Runtime['settings']['peer']>): PeerChannel {
    const runtime = this.#runtime;
    const channel = (this.#options.createChannel ?? createPeerChannel)({
      self: runtime.node,
      peer: peer.name,
      boot: runtime.boot,
      addresses: peer.addresses,
      listen: runtime.settings.peerListen,
      secret: runtime.secret,
      certificates: runtime.certificates,
      insecure: runtime.settings.insecure,
      clock: runtime.clock,
      heartbeatMs: runtime.settings.timing.heartbeatMs,
      version: this.#options.version,
      timing: timingDigest(runtime.settings.timing),
      composeHeartbeat: () => this.#composeHeartbeat(),
      log: runtime.log,
      callbacks: {
        onHeard: (at, heartbeat) => {
          this.#heard(at, heartbeat);
        },
        onAlive: (aliveAt) => {
          for (const member of this.#options.members.values()) member.lease.renew(aliveAt);
        },
        onBoot: (boot) => {
          runtime.peer.restarted(boot);
          for (const member of this.#options.members.values()) member.lease.forgetPeer();
          this.#actor?.send({ type: 'BOOT', boot });
          this.#note('peer.boot', 'info', `${peer.name} runs (boot ${boot})`);
        },
        onUp: () => {
          runtime.peer.channelUp = true;
          this.#note(
            'peer.channel-up',
            'info',
            `peer channel to ${peer.name} is up (${channel.status().security ?? 'unknown'})`,
          );
        },
        onDown: (reason) => {
          runtime.peer.channelUp = false;
          this.#note('peer.channel-down', 'warn', `peer channel to ${peer.name} is down: ${reason}`);
          this.#judgeGroups();
        },
        onGoodbye: (at) => {
          runtime.peer.goodbyeAt = at;
          this.#actor?.send({ type: 'GOODBYE' });
          this.#note('peer.goodbye', 'info', `${peer.name} stopped on purpose`);
        },
        onCertainDeath: (at) => {
          runtime.peer.certainDeathAt = at;
          this.#actor?.send({ type: 'CERTAIN_DEATH' });
          this.#note(
            'peer.dead',
            'warn',
            `${peer.name}'s daemon is dead: its channel was reset and its host refuses a new one`,
          );
          this.#judgeGroups();
        },
      },
    });
    channel.onRequest((method, params) => this.#answer(method, params));
    return channel;
  }

  #createChart(peer: string): Actor<typeof linkMachine> {
    return runChart(this.#runtime, {
      id: `link.${peer}`,
      name: 'link',
      machine: linkMachine.provide({
        actions: {
          notifyLink: (_, { state }) => {
            this.#changed(state);
          },
        },
      }),
      input: { peer, promotionDelayMs: this.#runtime.settings.timing.promotionDelayMs },
      about: {},
    });
  }

  #note(kind: string, level: 'info' | 'warn', message: string): void {
    this.#runtime.journal.add({ kind, level, message });
  }

  #changed(state: LinkVerdict): void {
    if (state === 'talking') return;
    const peer = this.#runtime.settings.peer?.name ?? '';
    if (state === 'silent') this.#note('peer.silent', 'warn', `${peer} is silent on every path`);
    // A promise to leave a group to a node that is gone binds nobody.
    this.#runtime.peer.revokeGrants();
    this.#judgeGroups();
  }

  async start(): Promise<void> {
    await this.#channel?.start();
    // What the peer said while this node opened its disks nobody could hear.
    this.#runtime.wake.since = this.#runtime.clock.now();
    this.#actor?.send({ type: 'LISTENING' });
    this.#tick();
  }

  #tick(): void {
    const { references, members } = this.#options;
    this.#ownGap.look(members.values(), references.lost);
    const heard = heardOn(members.values());
    const latest = Math.max(...Object.values(heard).map((at) => at ?? Number.NEGATIVE_INFINITY));
    const { clock, settings, startedAt } = this.#runtime;
    // Once a heartbeat will do: the chart calls the peer silent that much later, and the groups judge by themselves.
    if (latest > this.#lastHeard && clock.now() - this.#toldHeardAt >= settings.timing.heartbeatMs) {
      this.#lastHeard = latest;
      this.#toldHeardAt = clock.now();
      this.#actor?.send({ type: 'HEARD' });
    }
    if (settings.peer !== null && clock.now() - latest > UNHEARD_BEATS * settings.timing.heartbeatMs)
      references.hurry(Math.max(latest, startedAt));
    this.#judgeGroups();
    this.#pursueOutdate();
    const wait = this.#isCalm(latest) ? CALM_TICK_MS : TICK_MS;
    this.#cancelTick = clock.after(wait, () => {
      this.#tick();
    });
  }

  /** Nobody waits for anything, and the next heartbeat is not even due. */
  #isCalm(latest: number): boolean {
    const { clock, settings } = this.#runtime;
    const { heartbeatMs } = settings.timing;
    for (const { snapshot } of this.#options.members.values())
      if ((snapshot?.held ?? null) !== null) return false;
    return heartbeatMs >= 2 * CALM_TICK_MS && (settings.peer === null || clock.now() - latest < heartbeatMs);
  }

  #judgeGroups(): void {
    for (const group of this.#options.groups.values()) group.judge();
  }

  #composeHeartbeat(): HeartbeatBody {
    const groups = [...this.#options.groups.values()].map((group) => {
      const evidence = group.evidence();
      return {
        name: group.settings.name,
        primary: group.role === 'primary' || group.servesStill(),
        changing: group.role === 'changing',
        healthy: group.healthy(),
        epoch: group.epoch,
        virgin: evidence.members.every((member) => member.state === 'virgin'),
        candidate:
          mayPromote(evidence).answer !== 'refuse' &&
          holdsOff(group.actor.getSnapshot()) === null &&
          evidence.hold === null,
        hold: evidence.hold?.code ?? null,
        addressSet: this.#options.addressSet(group.settings.name),
      };
    });
    const resources = [...this.#options.members.values()].flatMap(({ settings, snapshot }) =>
      snapshot === null
        ? []
        : [
            {
              name: settings.name,
              record: snapshot.record,
              freshnessKind: snapshot.freshness.kind,
              role: snapshot.role,
            },
          ],
    );
    return { groups, resources };
  }

  #heard(at: number, heartbeat: PeerHeartbeat | null): void {
    for (const member of this.#options.members.values()) member.lease.heard('peerChannel', at);
    if (heartbeat === null) return;
    const recovered = heartbeat.groups.some(
      ({ name, healthy }) => healthy && this.#runtime.peer.group(name)?.healthy === false,
    );
    this.#runtime.peer.heard(at, heartbeat.groups, heartbeat.resources);
    for (const words of heartbeat.resources) {
      const member = this.#options.members.get(words.name);
      if (member !== undefined) this.#exchange.compare(member, words, heartbeat);
    }
    if (recovered) this.#options.peerRecovered();
    this.#judgeGroups();
  }

  /** A3: while a write may wait for it, asks the peer again and again to record `outdated`. */
  #pursueOutdate(): void {
    const peer = this.#runtime.settings.peer?.name;
    if (peer === undefined) return;
    const now = this.#runtime.clock.now();
    for (const member of this.#options.members.values()) {
      const { snapshot } = member;
      const name = member.settings.name;
      if (snapshot?.role !== 'primary' || snapshot.dataLinkUp || snapshot.held === null) {
        // The first question comes a moment after the hold began: after a handover the link is just coming up.
        this.#outdateAskedAt.set(name, now);
        continue;
      }
      const { epoch } = snapshot.record;
      if (this.#hasLeft(snapshot.dataLinkDownAt)) {
        this.#detached(member.command({ type: 'peer-outdated', epoch }), `${name}: going on without ${peer}`);
        continue;
      }
      if (!this.#runtime.peer.channelUp) continue;
      if (now - (this.#outdateAskedAt.get(name) ?? now) < OUTDATE_RETRY_MS) continue;
      this.#outdateAskedAt.set(name, now);
      this.#detached(
        this.ask('outdate', { resource: name, epoch }, OUTDATE_ANSWER_MS).then(() =>
          member.command({ type: 'peer-outdated', epoch }),
        ),
        `${name}: asking ${peer} to record that it is outdated`,
      );
    }
  }

  /**
   * The peer ended on purpose after its last word on this data link. It needs no question: what starts
   * there again has to meet us before it may be primary (B4), or released its epoch for good (D4).
   */
  #hasLeft(dataLinkDownAt: number | null): boolean {
    const { goodbyeAt } = this.#runtime.peer;
    return goodbyeAt !== null && (dataLinkDownAt ?? 0) <= goodbyeAt;
  }

  /** Work that nobody waits for: its failure is a line in the log, the tick tries again. */
  #detached(work: Promise<unknown>, what: string): void {
    work.catch((error: unknown) => {
      this.#runtime.log('debug', `${what} failed: ${describeError(error)}`);
    });
  }

  /** @throws NetError of the peer channel, `no-peer-channel` when there is none */
  async ask(method: PeerMethod, params: Record<string, unknown>, timeoutMs: number): Promise<unknown> {
    if (this.#channel === null)
      throw new NetError(
        'no-peer-channel',
        'hastate.yaml names no address of the other node: add nodes.NAME.peer',
      );
    return this.#channel.request(method, params, timeoutMs);
  }

  async #answer(method: PeerMethod, params: Readonly<Record<string, unknown>>): Promise<unknown> {
    switch (method) {
      case 'outdate':
        return this.#outdate(String(params['resource']), params['epoch'] as Epoch);
      case 'claim':
        return this.#group(params).grantClaim(this.#runtime.settings.peer?.name ?? '');
      case 'handover':
        return this.#takeOver(this.#group(params), params['epoch'] as Epoch, params['records']);
      case 'switchover':
        return this.#options.switchAway(this.#group(params), params);
      case 'resolve':
        return this.#options.resolve(params);
      case 'verify':
        return this.#options.verify(params);
      case 'status':
        return this.#options.composeStatus();
    }
  }

  #group(params: Readonly<Record<string, unknown>>): Group {
    const group = this.#options.groups.get(String(params['group']));
    if (group === undefined)
      throw new HastateError(
        'unknown-group',
        `there is no group '${String(params['group'])}' on ${this.#runtime.node}: make hastate.yaml the same on both nodes`,
      );
    return group;
  }

  async #outdate(resource: string, epoch: Epoch): Promise<unknown> {
    const member = this.#options.members.get(resource);
    if (member === undefined)
      throw new HastateError(
        'unknown-resource',
        `there is no resource '${resource}' on ${this.#runtime.node}`,
      );
    await this.#outdater.outdate(member, epoch);
    this.#note(
      'peer.outdated',
      'warn',
      `${resource}: recorded as outdated, because ${this.#runtime.settings.peer?.name ?? 'the peer'} goes on alone`,
    );
    return { outdated: true };
  }

  async #takeOver(group: Group, epoch: Epoch, records: unknown): Promise<unknown> {
    const refusal = refusesHandover(recordsOf(group.members), records, this.#runtime.node);
    if (refusal !== null) return { accepted: false, reason: refusal };
    try {
      await group.promote({ kind: 'handover', epoch }, 'recorded', HANDOVER_MS);
      return { accepted: true };
    } catch (error) {
      return { accepted: false, reason: describeError(error) };
    }
  }

  /** The secret file or the certificates were read again. */
  rekey(credentials: PeerCredentials): void {
    this.#channel?.rekey(credentials);
  }

  async close(): Promise<void> {
    this.#cancelTick?.();
    this.#actor?.stop();
    await this.#channel?.close();
  }
}
