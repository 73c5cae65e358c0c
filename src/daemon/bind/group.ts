/** One group at work: its chart, bound to members, devices, hooks, address and the peer's word. */
import type { Actor, SnapshotFrom } from 'xstate';

import { groupMachine } from '../../../machines/group.ts';
import { groupEpoch, mayPromote } from '../../model/decision.ts';
import { HastateError } from '../../model/errors.ts';
import type { Evidence, Trigger } from '../../model/evidence.ts';
import type { Wishes } from '../../model/intent.ts';
import { type LeaveCause, staysBecause } from '../../model/leaving.ts';
import { hasRival, peerPresence } from '../../model/presence.ts';
import { cutOff, fenceToGoOn } from '../../model/without-peer.ts';
import type { Epoch } from '../../model/record.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { Verdict } from '../../model/verdict.ts';
import type { GroupStatus } from '../../protocol/control.ts';
import type { Runtime } from '../runtime.ts';
import { dotted } from '../runtime.ts';
import { reach, runChart } from './actors.ts';
import { Agreement } from './agreement.ts';
import type { AddressService, GroupServices } from './group-services.ts';
import { describeTransition, isUp, roleOf } from './group-phase.ts';
import { gatherEvidence } from './evidence.ts';
import { GroupPorts, ROLE_MS } from './group-ports.ts';
import { tellLost } from './lost-member.ts';
import type { Member } from './members.ts';
import { brokenMember, isIll, namesPeer, peerReady } from './member-checks.ts';

export class Group {
  /** Replaced as a whole by a reload. */
  settings: GroupSettings;
  readonly members: readonly Member[];
  readonly actor: Actor<typeof groupMachine>;
  lastTransition: string | null = null;
  /** A service of it could not be kept running here. ms of the clock */
  unwellUntil = Number.NEGATIVE_INFINITY;
  readonly #runtime: Runtime;
  readonly #services: GroupServices;
  readonly #agreement: Agreement;
  #wasUp = false;
  #cleanedByKeeper: string | null = null;

  constructor(
    runtime: Runtime,
    settings: GroupSettings,
    members: readonly Member[],
    services: GroupServices,
    byHand: boolean,
  ) {
    this.#runtime = runtime;
    this.#services = services;
    this.settings = settings;
    this.members = members;
    this.#agreement = new Agreement(runtime, this, services.askPeer);
    this.actor = runChart(runtime, {
      id: `group.${settings.name}`,
      name: 'group',
      machine: new GroupPorts(runtime, this, services, this.#agreement).bind(groupMachine),
      input: { group: settings.name, holdBaseMs: 1000, retryMs: 500, byHand },
      about: { group: settings.name },
      describe: ({ context }) => context.reason,
      onChange: (snapshot) => {
        this.#releaseAddress(snapshot);
        this.lastTransition = describeTransition(snapshot);
        services.announceState();
      },
    });
  }

  /** Once the group is down the adverts let another node lead; who takes it over must not hear a better one still. */
  #releaseAddress(snapshot: SnapshotFrom<typeof groupMachine>): void {
    const role = roleOf(snapshot);
    const isDown = snapshot.matches({ demoting: 'handingOver' });
    const goingOrUp = role === 'primary' || (role === 'changing' && !isDown);
    if (this.#wasUp && !goingOrUp) {
      const failed = snapshot.matches('holding') || snapshot.matches('stuck');
      this.#services.address?.released(failed ? (snapshot.context.error ?? 'the group failed') : null);
    }
    this.#wasUp = goingOrUp;
  }

  /** Judges the group again. The chart acts on the answer. */
  evaluate(trigger: Trigger = { kind: 'automatic' }): Verdict {
    const evidence = this.evidence(trigger);
    this.actor.send({ type: 'EVALUATE', evidence, wishes: this.#wishes() });
    return mayPromote(evidence);
  }

  /** What `mayPromote` says now, in this group's own words. */
  verdict(trigger: Trigger): { verdict: Verdict; evidence: Evidence } {
    const evidence = this.evidence(trigger);
    const verdict = mayPromote(evidence);
    return {
      verdict: { ...verdict, next: verdict.next?.replaceAll('GROUP', this.settings.name) ?? null },
      evidence,
    };
  }

  /** Something changed: judges again where the chart would act on it, and tells the adverts. */
  judge(): void {
    const snapshot = this.actor.getSnapshot();
    const address = this.#services.address;
    if (this.role === 'primary' || this.role === 'changing') {
      address?.eligible(!(snapshot.matches('demoting') && snapshot.context.rival));
      if (snapshot.matches('primary')) this.#judgePrimary(address);
      return;
    }
    if (snapshot.status !== 'active') return;
    tellLost(this.actor, this.members);
    const verdict = this.evaluate();
    const peerLeads =
      this.#runtime.peer.report(this.settings.name)?.primary === true &&
      peerPresence(this.evidence()) === 'alive';
    const mayLead = verdict.answer !== 'refuse' && this.#runtime.holds.of(this.settings.name) === null;
    address?.eligible(!peerLeads && mayLead && this.role === 'secondary');
  }

  /** What happened while the group was on its way up counts as well as what happens now. */
  #judgePrimary(address: AddressService | null): void {
    const { settings, members } = this;
    const evidence = this.evidence();
    const view = {
      evidence,
      namesPeer: namesPeer(members, evidence.peer),
      references: this.#services.references,
    };
    const cut = cutOff(view);
    const broken = this.#cleanedByKeeper ?? brokenMember(members, this.peerReady() === null) ?? cut;
    if (broken !== null) {
      this.#cleanedByKeeper = null;
      const rival = cut !== null || hasRival(evidence);
      this.actor.send({ type: 'DEMOTE', reason: broken, handoverTo: null, rival });
      return;
    }
    const why = fenceToGoOn(view);
    // What came of it is in the journal; this is called again.
    if (why !== null)
      void this.#services.fence.run({ why: `${settings.name}: ${why}`, delayMs: 0 }).catch(() => undefined);
    if (!hasRival(evidence)) address?.reassert();
  }

  /** D2: the keeper took address and devices away from under us. */
  cleanedByKeeper(): void {
    if (this.role === 'secondary') return;
    this.#cleanedByKeeper = 'the daemon stood still and the keeper cleaned up';
    this.judge();
  }

  /** An operator has mended what holds it back here: it takes part again at once. */
  clearHold(): void {
    this.unwellUntil = Number.NEGATIVE_INFINITY;
    this.#services.address?.clearHold();
    this.actor.send({ type: 'RETRY' });
    const { name } = this.settings;
    this.#runtime.journal.add({
      ...{ kind: 'group.hold-cleared', level: 'info', group: name },
      message: `${name}: an operator ended what held it back`,
    });
  }

  /** Some member is primary, whatever the chart says. */
  servesStill(): boolean {
    return this.members.some((member) => member.snapshot?.role === 'primary');
  }

  healthy(): boolean {
    // As primary it does what it can: that a service failed here before is no news to the other node then.
    const unwell = this.role !== 'primary' && this.#runtime.clock.now() < this.unwellUntil;
    const unfit = (this.address?.unfit ?? null) !== null;
    return this.role !== 'stuck' && !unwell && !unfit && !this.members.some(isIll);
  }

  evidence(trigger: Trigger = { kind: 'automatic' }): Evidence {
    return gatherEvidence(this.#runtime, {
      group: this.settings,
      members: this.members,
      allMembers: this.#services.allMembers(),
      obstacles: this.#services.obstacles(this.settings.name),
      references: this.#services.references,
      fencedAt: this.#services.fence.at,
      trigger,
    });
  }

  #wishes(): Wishes {
    const onHold = this.#agreement.promised;
    return { advert: this.#services.address?.state() ?? null, prefer: this.settings.prefer, onHold };
  }

  /** Outside hastate.yaml's groups: a person gives the role. */
  get byHand(): boolean {
    return this.actor.getSnapshot().context.byHand;
  }
  get role(): GroupStatus['role'] {
    return roleOf(this.actor.getSnapshot());
  }
  get state(): string {
    return dotted(this.actor.getSnapshot().value);
  }
  get epoch(): Epoch {
    return groupEpoch(this.evidence().members);
  }

  /** B5: the peer wants to become primary. */
  grantClaim(peer: string): ReturnType<Agreement['grant']> {
    const standby = this.role === 'secondary' || (this.role === 'stuck' && !this.servesStill());
    return this.#agreement.grant(peer, standby, this.state);
  }

  /**
   * By an operator, a handover or the old `role primary`. Resolves when the group serves or, for
   * `recorded`, as soon as the epoch is durable here and the members are primary: from then on the
   * one who handed over may follow, and what the hooks read and write can reach both disks.
   * @throws HastateError `promotion-refused` with the reasons, `promotion-failed`
   */
  async promote(trigger: Trigger, goal: 'recorded' | 'serving', timeoutMs: number): Promise<void> {
    if (this.role === 'primary') return;
    let { verdict } = this.verdict(trigger);
    if (verdict.answer === 'wait' && verdict.reasons.every((reason) => reason.code === 'needs-consent')) {
      await this.#agreement.claim();
      ({ verdict } = this.verdict(trigger));
    }
    if (verdict.answer !== 'promote') {
      const why = verdict.reasons.map((reason) => `${reason.text} [${reason.rule}]`).join('; ');
      throw new HastateError(
        'promotion-refused',
        `${this.settings.name}: ${why}${verdict.next === null ? '' : `; safe next step: ${verdict.next}`}`,
      );
    }
    const settled = await reach(
      this.actor,
      `${this.settings.name} settling`,
      (s) => s.matches('idle') || s.matches({ standby: 'waiting' }) || s.matches({ primary: 'serving' }),
      ROLE_MS,
    );
    // It went up by itself meanwhile.
    if (settled.matches('primary')) return;
    this.evaluate(trigger);
    const snapshot = await reach(
      this.actor,
      `${this.settings.name} becoming primary`,
      (s) =>
        s.matches({ primary: 'serving' }) ||
        (goal === 'recorded' && isUp(s)) ||
        s.matches('holding') ||
        s.matches('stuck') ||
        s.matches('standby') ||
        s.matches('idle') ||
        s.matches('stopped'),
      timeoutMs,
    );
    if (!isUp(snapshot)) {
      throw new HastateError(
        'promotion-failed',
        `${this.settings.name} did not become primary: ${snapshot.context.error ?? this.state}`,
      );
    }
  }

  /** Planned demotion; with `handoverTo` the other node takes over. Resolves when it is done. */
  async demote(reason: string, handoverTo: string | null, timeoutMs: number): Promise<void> {
    this.actor.send({ type: 'DEMOTE', reason, handoverTo });
    const snapshot = await reach(
      this.actor,
      `${this.settings.name} going down`,
      (s) =>
        s.matches({ standby: 'waiting' }) ||
        s.matches('idle') ||
        s.matches('stuck') ||
        s.matches('stopped') ||
        s.matches('holding'),
      timeoutMs,
    );
    if (snapshot.matches('stuck')) {
      throw new HastateError(
        'group-stuck',
        `${this.settings.name} is stuck: ${snapshot.context.error ?? 'something cannot be removed'}`,
      );
    }
    const { handoverError } = snapshot.context;
    if (handoverTo !== null && handoverError !== null) {
      throw new HastateError('handover-failed', `${this.settings.name}: ${handoverError}`);
    }
  }

  /** The daemon stops: down in order, to the peer when it is in sync. */
  async stop(timeoutMs: number): Promise<void> {
    const peer = this.peerReady() === null ? (this.#runtime.settings.peer?.name ?? null) : null;
    this.actor.send({ type: 'STOP', handoverTo: this.role === 'primary' ? peer : null });
    await reach(
      this.actor,
      `${this.settings.name} stopping`,
      (s) => s.status !== 'active' || s.matches('stuck'),
      timeoutMs,
    );
  }

  /**
   * By hand: from init. In a group that is primary it demotes first.
   * @throws HastateError `role-failed` when a disk cannot be used; the group goes on trying
   */
  async beSecondary(timeoutMs: number): Promise<void> {
    if (this.role === 'primary') await this.demote('an operator gave it role secondary', null, timeoutMs);
    this.actor.send({ type: 'SECONDARY' });
    const snapshot = await reach(
      this.actor,
      `${this.settings.name} becoming secondary`,
      (s) => s.matches({ standby: 'waiting' }) || s.matches({ standby: 'unsettled' }),
      timeoutMs,
    );
    if (snapshot.matches({ standby: 'unsettled' }))
      throw new HastateError(
        'role-failed',
        `${this.settings.name}: ${snapshot.context.error ?? 'it is not ready'}`,
      );
  }

  /** An operator wants the group to stay where it is, or the other node to lead nothing. */
  #held(): string | null {
    const { name } = this.settings;
    const { holds, peer, settings } = this.#runtime;
    const own = holds.of(name);
    if (own?.code === 'maintenance') return `${own.text} (${own.next.replaceAll('GROUP', name)})`;
    const theirs = peer.group(name)?.hold ?? null;
    const words = { standby: 'on standby', maintenance: 'in maintenance for it' };
    return theirs === null ? null : `${settings.peer?.name ?? 'the peer'} is ${words[theirs]}`;
  }

  /** Why it is not handed to the other node without an order, or null when it is. */
  staysBecause(cause: LeaveCause): string | null {
    const { peer, settings } = this.#runtime;
    return staysBecause(cause, {
      policy: this.settings.policy,
      notReady: this.peerReady(),
      peer: settings.peer?.name ?? 'the other node',
      words: peer.group(this.settings.name),
    });
  }

  get address(): AddressService | null {
    return this.#services.address;
  }

  /** Why the peer could not take over right now without loss, or null when it could. */
  peerReady(): string | null {
    return this.#held() ?? peerReady(this.#runtime, this.members);
  }
}
