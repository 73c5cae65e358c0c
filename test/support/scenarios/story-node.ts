/** The node of a story: see story.ts. */
import { type Actor, createActor, SimulatedClock } from 'xstate';

import { groupMachine, type GroupContext } from '../../../machines/group.ts';
import { linkMachine } from '../../../machines/link.ts';
import type { resourceMachine, ResourceMachineEvent } from '../../../machines/resource.ts';
import { tellLost } from '../../../src/daemon/bind/lost-member.ts';
import { namesPeer } from '../../../src/daemon/bind/member-checks.ts';
import type { Member } from '../../../src/daemon/bind/members.ts';
import type { Evidence, MemberEvidence, PeerReport, Trigger } from '../../../src/model/evidence.ts';
import type { Wishes } from '../../../src/model/intent.ts';
import { NO_EPOCH } from '../../../src/model/record.ts';
import type { PathName } from '../../../src/model/roles.ts';
import { cutOff } from '../../../src/model/without-peer.ts';
import { evidenceOf } from '../evidence.ts';
import { pathOf } from '../expect-states.ts';
import { bindGroup, bindResource } from './story-bindings.ts';
import { StoryPorts } from './story-ports.ts';
import type { StoryStep } from './story.ts';

const TICK_MS = 25;
const ALL_PATHS: readonly PathName[] = ['dataLink', 'peerChannel', 'adverts'];
const [FIRST] = evidenceOf().members;

export class StoryNode {
  readonly ports = new StoryPorts();
  readonly resources = new Map<string, Actor<typeof resourceMachine>>();
  readonly #clock = new SimulatedClock();
  readonly #group: Actor<typeof groupMachine>;
  readonly #link: Actor<typeof linkMachine>;
  readonly #members = new Map<string, MemberEvidence>();
  #facts: Evidence;
  #talks = ALL_PATHS;
  #wishes: Wishes = { advert: null, prefer: null, onHold: false };
  #alone = false;

  constructor(names: readonly string[], facts: Partial<Evidence>, byHand: boolean) {
    this.#facts = { ...evidenceOf({ now: 0, report: { at: 0 } }), heardAt: heardNever(), ...facts };
    for (const resource of names) {
      if (FIRST !== undefined)
        this.#members.set(resource, { ...FIRST, resource, dataLinkDownAt: null, dataLinkUp: true });
      this.resources.set(
        resource,
        createActor(bindResource(resource, this.ports), { clock: this.#clock, input: { resource } }),
      );
    }
    this.#group = createActor(bindGroup(groupMachine, this), {
      clock: this.#clock,
      input: { group: 'storage', holdBaseMs: 1000, retryMs: 500, byHand },
    });
    this.#link = createActor(linkMachine.provide({ actions: { notifyLink: () => this.judge() } }), {
      clock: this.#clock,
      input: { peer: 'hasta', promotionDelayMs: this.#facts.timing.promotionDelayMs },
    });
  }

  get groupState(): string {
    return pathOf(this.#group.getSnapshot().value);
  }
  get linkState(): string {
    return pathOf(this.#link.getSnapshot().value);
  }
  get context(): GroupContext {
    return this.#group.getSnapshot().context;
  }
  resourceState(name: string): string {
    return pathOf(this.resources.get(name)?.getSnapshot().value);
  }

  async start(): Promise<void> {
    for (const actor of this.resources.values()) actor.start();
    this.#group.start();
    this.#link.start();
    await turn();
    this.ports.calls.length = 0;
  }

  /** Lets time pass until then, with everything that the daemon does meanwhile. */
  async pass(until: number): Promise<void> {
    while (this.#facts.now < until) {
      const ms = Math.min(TICK_MS, until - this.#facts.now);
      this.#facts = { ...this.#facts, now: this.#facts.now + ms };
      this.#clock.increment(ms);
      this.#listen();
      this.judge();
      await turn();
    }
  }

  #listen(): void {
    const { now, heardAt, report } = this.#facts;
    if (this.#talks.length === 0) return;
    const heard = Object.fromEntries(this.#talks.map((path) => [path, now]));
    const told = report !== null && this.#talks.includes('peerChannel') ? { ...report, at: now } : report;
    this.#facts = { ...this.#facts, heardAt: { ...heardAt, ...heard }, report: told };
    this.#link.send({ type: 'HEARD' });
  }

  /** As the daemon's group looks at itself. */
  judge(): void {
    const snapshot = this.#group.getSnapshot();
    if (snapshot.status !== 'active') return;
    const members = this.#asMembers();
    if (snapshot.matches('primary')) {
      const { configured, reached } = this.#facts.references;
      const lost = configured > 0 && reached * 2 <= configured;
      const evidence = this.evidence();
      const references = { lost, lostSince: () => lost };
      const why = cutOff({ evidence, namesPeer: namesPeer(members, evidence.peer), references });
      if (why !== null) this.#group.send({ type: 'DEMOTE', reason: why, handoverTo: null });
      return;
    }
    tellLost(this.#group, members);
    this.evaluate({ kind: 'automatic' });
  }

  /** What the shipped checks of a group look at. */
  #asMembers(): Member[] {
    const inSync = this.#alone ? ['hastb'] : ['hasta', 'hastb'];
    return [...this.resources].map(([name, actor]) => {
      const { value, context } = actor.getSnapshot();
      const running = value !== 'failed';
      const snapshot = { record: { inSync } };
      return {
        settings: { name },
        engine: { running },
        actor,
        error: context.error,
        snapshot,
      } as unknown as Member;
    });
  }

  evaluate(trigger: Trigger): void {
    this.#group.send({ type: 'EVALUATE', evidence: this.evidence(trigger), wishes: this.#wishes });
  }

  evidence(trigger: Trigger = { kind: 'automatic' }): Evidence {
    return { ...this.#facts, trigger, members: [...this.#members.values()] };
  }

  async take(step: StoryStep): Promise<void> {
    this.#note(step);
    const { now } = this.#facts;
    if (step.certainDeath === true) {
      this.learn({ certainDeathAt: now });
      this.#link.send({ type: 'CERTAIN_DEATH' });
    }
    if (step.goodbye === true) this.#link.send({ type: 'GOODBYE' });
    for (const [port, outcome] of Object.entries(step.answer ?? {})) this.ports.answer(port, outcome);
    for (const [name, type] of Object.entries(step.engineEvent ?? {}))
      this.resources.get(name)?.send({ type } as ResourceMachineEvent);
    if (step.engineDied !== undefined)
      this.resources.get(step.engineDied)?.send({ type: 'ENGINE.DIED', reason: 'its thread ended' });
    if (step.operator !== undefined) this.evaluate({ kind: 'operator', ...step.operator });
    if (step.handover === true) this.evaluate({ kind: 'handover', epoch: NO_EPOCH });
    if (step.demote !== undefined)
      this.#group.send({ type: 'DEMOTE', reason: 'the story', handoverTo: step.demote.to });
    if (step.stop !== undefined) this.#group.send({ type: 'STOP', handoverTo: step.stop.to });
    if (step.retry === true) this.#group.send({ type: 'RETRY' });
    if (step.standsStill !== undefined) this.#standStill(step.standsStill);
    await turn();
    this.judge();
    await turn();
  }

  #note(step: StoryStep): void {
    const { now } = this.#facts;
    this.#talks = step.talks ?? this.#talks;
    this.#wishes = { ...this.#wishes, ...step.wishes };
    this.#alone ||= step.alone === true;
    if (step.ports !== undefined) this.ports.set(step.ports);
    if (step.report !== undefined) this.tell(step.report);
    if (step.facts !== undefined) this.learn(step.facts);
    if (step.fenced === true) this.learn({ fencedAt: now });
    if (step.link !== undefined) this.#linkIs(step.link === 'up');
    for (const name of this.#members.keys()) this.#know(name, { ...step.member, ...step.members?.[name] });
  }

  #linkIs(up: boolean): void {
    for (const [name, actor] of this.resources) {
      actor.send({ type: up ? 'ENGINE.CONNECTED' : 'ENGINE.DISCONNECTED' });
      this.#know(name, { dataLinkUp: up, dataLinkDownAt: up ? null : this.#facts.now });
    }
  }

  #know(name: string, facts: Partial<MemberEvidence>): void {
    const member = this.#members.get(name);
    if (member !== undefined) this.#members.set(name, { ...member, ...facts });
  }

  /** No timer of the process fires, and then all at once. */
  #standStill(ms: number): void {
    this.#facts = { ...this.#facts, now: this.#facts.now + ms, awakeSince: this.#facts.now + ms };
    this.#clock.increment(ms);
  }

  learn(facts: Partial<Evidence>): void {
    this.#facts = { ...this.#facts, ...facts };
  }

  tell(report: Partial<PeerReport> | null): void {
    if (report === null) this.learn({ report: null });
    else this.learn({ report: { ...evidenceOf().report, ...this.#facts.report, ...report } as PeerReport });
  }

  end(): void {
    this.#group.stop();
    this.#link.stop();
    for (const actor of this.resources.values()) actor.stop();
  }
}

function heardNever(): Evidence['heardAt'] {
  return { dataLink: null, peerChannel: null, adverts: null };
}

/** Every promise that is ready has run on. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
