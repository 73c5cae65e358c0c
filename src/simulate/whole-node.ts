/**
 * One simulated daemon: the shipped charts of group, resource and link, bound by the shipped code of src/daemon/bind
 * to a simulated engine and peer channel. Devices, hooks and the address are stand-ins that take some time.
 */
import { Group } from '../daemon/bind/group.ts';
import type { GroupServices } from '../daemon/bind/group-services.ts';
import { Link } from '../daemon/bind/link.ts';
import { Member } from '../daemon/bind/members.ts';
import { HoldStore } from '../daemon/holds.ts';
import type { Journal, JournalEntry } from '../daemon/journal.ts';
import { PeerState } from '../daemon/peer-state.ts';
import { type ChartClock, ChartRegistry, type Runtime } from '../daemon/runtime.ts';
import { HastateError } from '../model/errors.ts';
import type { ResourceSettings } from '../model/settings.ts';
import type { Timing } from '../model/timing.ts';
import type { ClockPort } from '../replication/ports.ts';
import { SimChannel, type Wire } from './sim-channel.ts';
import { SimEngine } from './sim-engine.ts';
import { otherOf, type SimNode } from './sim-node.ts';
import { GROUP, RESOURCE, simSettings } from './settings.ts';

const SWITCHOVER_MS = 60_000;

/** What a node needs of its world. */
export interface Surroundings {
  readonly wire: Wire;
  readonly timing: Partial<Timing>;
  /** Of the engine alone: a test switches a rule off with it. */
  readonly engineTiming: Partial<Timing>;
  channelOf(node: string): SimChannel | null;
  journal(node: string, entry: JournalEntry): void;
}

/** One life of a daemon, from its start to its death. */
export class WholeNode {
  readonly sim: SimNode;
  readonly member: Member;
  readonly group: Group;
  channel: SimChannel | null = null;
  readonly #link: Link;
  readonly #world: Surroundings;
  #alive = true;

  constructor(sim: SimNode, world: Surroundings) {
    this.sim = sim;
    this.#world = world;
    const runtime = this.#runtime();
    const engineTiming = { ...runtime.settings.timing, ...world.engineTiming };
    this.member = new Member(
      runtime,
      resourceOf(sim),
      () => this.#changed(),
      (options) => new SimEngine(options, sim, engineTiming),
    );
    const members = new Map([[RESOURCE, this.member]]);
    const [settings] = runtime.settings.groups;
    if (settings === undefined) throw new HastateError('no-group', 'a simulation has one group');
    this.group = new Group(runtime, settings, [this.member], this.#services(), false);
    this.#link = new Link({
      runtime,
      members,
      groups: new Map([[GROUP, this.group]]),
      version: 'simulated',
      references: { lost: false, hurry: () => undefined },
      createChannel: (options) =>
        (this.channel = new SimChannel(options, world.wire, () => world.channelOf(otherOf(sim.name)))),
      addressSet: () => null,
      peerRecovered: () => undefined,
      switchAway: () => Promise.reject(new HastateError('not-simulated', 'ask the primary')),
      verify: () => Promise.reject(new HastateError('not-simulated', 'disks are compared at the end')),
      resolve: () => Promise.reject(new HastateError('not-simulated', 'nobody resolves here')),
      composeStatus: () => null,
    });
  }

  async start(): Promise<void> {
    await this.#link.start();
  }

  /** The group has everything that applications need here. */
  get serves(): boolean {
    return this.#alive && this.group.actor.getSnapshot().matches({ primary: 'serving' });
  }

  /** Planned, when the other node is ready. @returns why it is not done, or null when it has begun */
  switchOver(): string | null {
    const why = this.serves ? this.group.peerReady() : 'it does not serve here';
    if (why !== null) return why;
    this.group.demote('a planned switchover', otherOf(this.sim.name), SWITCHOVER_MS).catch(() => undefined);
    return null;
  }

  /** Nothing of this life does anything any more. */
  die(): void {
    this.#alive = false;
    this.channel?.vanish();
    this.group.actor.stop();
    this.member.actor.stop();
    void this.#link.close();
  }

  #changed(): void {
    // The first word of the engine comes before there is a group.
    if (this.#alive && (this.group as Group | undefined) !== undefined) this.group.judge();
  }

  #runtime(): Runtime {
    const { wire, timing } = this.#world;
    const clock = this.#clock();
    const settings = simSettings(this.sim.name, timing);
    const journal = {
      add: (entry: JournalEntry) => {
        if (this.#alive) this.#world.journal(this.sim.name, entry);
      },
    };
    return {
      node: this.sim.name,
      boot: wire.random.id(),
      hast: { node: this.sim.name, control: '', pidfile: '', listen: [], resources: [] },
      settings,
      secret: null,
      certificates: null,
      stateDir: '/simulated',
      clock,
      chartClock: chartClock(clock),
      startedAt: clock.now(),
      wake: { since: clock.now() },
      log: () => undefined,
      // The charts' bindings only ever add to it.
      journal: journal as unknown as Journal,
      peer: new PeerState(),
      holds: new HoldStore('/simulated'),
      charts: new ChartRegistry(() => clock.now()),
      warnings: new Set(),
      randomId: () => wire.random.id(),
    };
  }

  /** A dead process has no timers. */
  #clock(): ClockPort {
    const { clock } = this.#world.wire;
    return {
      now: () => clock.now(),
      after: (ms, run) => clock.after(ms, () => this.#alive && run()),
    };
  }

  #services(): GroupServices {
    const { random } = this.#world.wire;
    const pause = (ms: number): Promise<void> =>
      new Promise((resolve) => this.#world.wire.clock.after(ms * (0.5 + random.next()), resolve));
    return {
      allMembers: () => [this.member],
      references: { lost: false, reached: 0, lostSince: () => false, reachedSince: () => 0 },
      obstacles: () => [],
      askPeer: (method, params, timeoutMs) => this.#link.ask(method, params, timeoutMs),
      fence: { at: null, run: () => Promise.reject(new HastateError('not-simulated', 'there is no fence')) },
      announceState: () => undefined,
      attachDevices: () => pause(20),
      detachDevices: () => pause(20),
      runHooks: async (_group, _members, verb) => {
        await pause(30);
        return { ok: true, stuck: false, summary: `${verb}: done` };
      },
      watchServices: () => undefined,
      unwatchServices: () => undefined,
      address: null,
    };
  }
}

function resourceOf({ name }: SimNode): ResourceSettings {
  return {
    ...{ name: RESOURCE, provname: RESOURCE, local: '/simulated', remote: otherOf(name), source: null },
    ...{ replication: 'memsync', checksum: 'none', compression: 'none', timeoutMs: 20_000 },
    ...{ exec: null, metaflush: true, peer: otherOf(name) },
  };
}

/** XState's timers on the node's clock. */
function chartClock(clock: ClockPort): ChartClock {
  const running = new Map<number, () => void>();
  let last = 0;
  return {
    setTimeout: (run, ms) => {
      const id = ++last;
      running.set(
        id,
        clock.after(ms, () => {
          running.delete(id);
          run();
        }),
      );
      return id;
    },
    clearTimeout: (id: number) => {
      running.get(id)?.();
      running.delete(id);
    },
  };
}
