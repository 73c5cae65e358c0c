/**
 * A primary's last door before an answer, with its standing to the peer, on a virtual clock. The node is hasta,
 * its peer hastb is in sync, connected and talking when the story begins.
 */
import { expect } from 'vitest';

import type { Epoch, ResourceRecord } from '../../../src/model/record.ts';
import { DEFAULT_TIMING } from '../../../src/model/timing.ts';
import { AckGate } from '../../../src/replication/ack-gate.ts';
import type { EngineCore } from '../../../src/replication/core.ts';
import type { AloneNeeds } from '../../../src/model/without-peer.ts';
import { Standing } from '../../../src/replication/standing.ts';
import { SimClock } from '../../../src/simulate/sim-clock.ts';
import { SimLease } from '../../../src/simulate/sim-node.ts';

const EPOCH: Epoch = { number: 7, id: '00000000000000aa' };
const BEAT_MS = 50;
const SHARED: ResourceRecord = {
  epoch: EPOCH,
  generations: { current: '00000000000000a1', previous: '0000000000000000' },
  state: 'clean',
  primary: 'hasta',
  inSync: ['hasta', 'hastb'],
  released: false,
};

export interface GateStep {
  readonly at: number;
  /** Heard on the peer channel all the time, or no more. */
  readonly talks?: boolean;
  /** Heard, but what it says was sent long ago: it does not echo us. */
  readonly deaf?: boolean;
  readonly link?: 'up' | 'down';
  /** A write that both disks have, or only this one. */
  readonly write?: 'both' | 'alone';
  readonly read?: true;
  /** The peer flushed `outdated` in our epoch. */
  readonly outdated?: true;
  /** The same from another epoch. */
  readonly outdatedIn?: Epoch;
  /** Any path shows this number, or the whole epoch. */
  readonly epochNumber?: number;
  readonly peerEpoch?: Epoch;
  /** A handshake in our epoch. */
  readonly handshake?: true;
  readonly fenced?: true;
  readonly references?: true;
  /** The process stands still for so long. */
  readonly standsStill?: number;
  readonly expect?: {
    readonly answered?: number;
    readonly held?: string | null;
    readonly inSync?: readonly string[];
    readonly frozen?: boolean;
    readonly said?: readonly string[];
    readonly unsaid?: readonly string[];
  };
}

export interface GateScenario {
  readonly gate: readonly GateStep[];
  readonly needs?: AloneNeeds;
  readonly record?: Partial<ResourceRecord>;
  readonly stale?: number;
}

export async function runGate({ gate: steps, needs, record, stale }: GateScenario): Promise<void> {
  const world = new GateWorld(needs ?? 'silence', record ?? {}, stale ?? 0);
  for (const step of steps) await world.take(step);
}

class GateWorld {
  readonly #clock = new SimClock();
  readonly #lease = new SimLease();
  readonly #said: string[] = [];
  readonly #gate: AckGate;
  readonly #standing: Standing;
  readonly #peer = { linked: true };
  readonly #start = this.#clock.now();
  #record: ResourceRecord;
  #talks = true;
  #deaf = false;
  #answered = 0;
  #wakesAt = -Infinity;

  constructor(needs: AloneNeeds, record: Partial<ResourceRecord>, staleCount: number) {
    this.#record = { ...SHARED, ...record };
    this.#lease.needs = needs;
    const core = this.#core(staleCount);
    const poke = (): void => this.#gate.poke();
    const peer = this.#peer;
    const host = {
      get linked() {
        return peer.linked;
      },
      changed: poke,
      thawed: poke,
      flushHere: () => Promise.resolve(true),
    };
    this.#standing = new Standing(core, host, !this.#record.inSync.includes('hastb'));
    this.#gate = new AckGate(core, this.#standing);
    this.#beat();
  }

  /** All that the gate and the standing read of an engine; the record is durable a moment after it is saved. */
  #core(staleCount: number): EngineCore {
    const store = { record: this.#record, meta: { localcnt: 0n } };
    const core = {
      setup: { timing: DEFAULT_TIMING, resource: { name: 'disk1' } },
      ports: {
        clock: { now: () => this.#clock.now(), after: this.#after },
        lease: this.#lease,
        random: { id: () => '00000000000000b2' },
      },
      self: 'hasta',
      namedPeer: 'hastb',
      store,
      map: { staleCount },
      report: (kind: string) => void this.#said.push(kind),
      save: async (change: (state: typeof store) => Partial<typeof store> | null) => {
        await new Promise<void>((resolve) => this.#clock.after(1, resolve));
        Object.assign(store, change(store));
        this.#record = store.record;
      },
    };
    return core as unknown as EngineCore;
  }

  /** A process that stands still has no timers. */
  readonly #after = (ms: number, run: () => void): (() => void) => {
    let cancel = (): void => undefined;
    const due = (): void => {
      const rest = this.#wakesAt - this.#clock.now();
      if (rest > 0) cancel = this.#clock.after(rest, due);
      else run();
    };
    cancel = this.#clock.after(ms, due);
    return () => cancel();
  };

  #beat(): void {
    this.#clock.after(BEAT_MS, () => this.#beat());
    if (!this.#talks || this.#wakesAt > this.#clock.now()) return;
    this.#lease.heard(this.#clock.now());
    if (!this.#deaf) this.#lease.renew(this.#clock.now() - 1);
  }

  async take(step: GateStep): Promise<void> {
    await this.#clock.run(this.#start + step.at - this.#clock.now());
    this.#talks = step.talks ?? this.#talks;
    this.#deaf = step.deaf ?? this.#deaf;
    if (step.link !== undefined) this.#peer.linked = step.link === 'up';
    this.#hear(step);
    if (step.write !== undefined) this.#ask(step.write === 'alone');
    if (step.read === true) this.#ask(false);
    if (step.standsStill !== undefined) this.#wakesAt = this.#clock.now() + step.standsStill;
    this.#gate.poke();
    await this.#clock.run(0);
    if (step.expect !== undefined) this.#check(step.expect);
  }

  #hear(step: GateStep): void {
    if (step.fenced === true) this.#lease.fenced = this.#clock.now();
    if (step.references === true) this.#lease.references = this.#clock.now();
    if (step.epochNumber !== undefined) this.#lease.epoch = step.epochNumber;
    if (step.peerEpoch !== undefined) this.#standing.peerEpoch(step.peerEpoch);
    if (step.outdated === true) this.#standing.peerOutdated(EPOCH);
    if (step.outdatedIn !== undefined) this.#standing.peerOutdated(step.outdatedIn);
    if (step.handshake !== true) return;
    this.#peer.linked = true;
    this.#standing.linkedUp();
  }

  #ask(withoutPeer: boolean): void {
    this.#gate.push({ answer: () => (this.#answered += 1) }, withoutPeer);
  }

  #check(expected: NonNullable<GateStep['expect']>): void {
    const { answered, held, inSync, frozen, said, unsaid } = expected;
    if (answered !== undefined) expect(this.#answered, 'answered').toBe(answered);
    if (held === null) expect(this.#gate.held).toBeNull();
    else if (held !== undefined) expect(this.#gate.held).toContain(held);
    if (inSync !== undefined) expect(this.#record.inSync).toEqual(inSync);
    if (frozen !== undefined) expect(this.#standing.frozen !== null, 'frozen').toBe(frozen);
    expect(this.#said).toEqual(expect.arrayContaining([...(said ?? [])]));
    for (const kind of unsaid ?? []) expect(this.#said).not.toContain(kind);
  }
}
