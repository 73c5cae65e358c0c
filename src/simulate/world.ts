/** Two whole nodes, their load and their faults on one virtual clock, from one seed. */
import type { JournalEntry } from '../daemon/journal.ts';
import type { JournalEvent } from '../protocol/control.ts';
import { DEFAULT_TIMING, type Timing } from '../model/timing.ts';
import { describeFault, type Fault } from './faults.ts';
import { Load, type LoadCounts } from './load.ts';
import type { SimChannel } from './sim-channel.ts';
import { otherOf, type SimName, SimPair } from './sim-node.ts';
import { type Surroundings, WholeNode } from './whole-node.ts';

export interface Rules {
  /** Other times of both daemons, or of their engines alone. Only tests change them. */
  readonly timing?: Partial<Timing>;
  readonly engineTiming?: Partial<Timing>;
}

export type Failure = 'loss' | 'two-writers' | 'disks-differ' | 'nobody-serves' | 'crash';

export interface Outcome {
  readonly failure: { readonly kind: Failure; readonly text: string } | null;
  /** Both wrote apart from each other; it was found and said, and both copies are kept. */
  readonly splitReported: boolean;
  readonly counts: LoadCounts;
  readonly faults: readonly Fault[];
  /** Virtual ms. */
  readonly tookMs: number;
  readonly journal: readonly JournalEvent[];
}

const NAMES: readonly SimName[] = ['alpha', 'beta'];
const SIZE_BYTES = 2 * 1024 * 1024;
const LOAD_EVERY_MS = 15;
/** So long after the last fault both nodes have to be one again. */
const CALM_MS = 60_000;
/** What is still under way then has ended. */
const CALM_AFTER_MS = 2000;
const SPLIT_WORDS: readonly string[] = ['engine.split-brain', 'record.split-brain'];

export class World {
  readonly #pair: SimPair;
  readonly #rules: Rules;
  readonly #load: Load;
  readonly #nodes = new Map<SimName, WholeNode>();
  readonly #journal: JournalEvent[] = [];
  #channelCut = false;
  #calm = false;

  constructor(seed: number, rules: Rules = {}) {
    this.#pair = new SimPair(seed, { sizeBytes: SIZE_BYTES, hears: false });
    this.#rules = rules;
    this.#load = new Load(this.#pair.random);
  }

  /** Runs these faults over the load, then waits until both nodes are one again. */
  async run(faults: readonly Fault[], forMs: number): Promise<Outcome> {
    const { clock } = this.#pair;
    for (const name of NAMES) await this.#start(name);
    await clock.run(CALM_MS, () => this.#served());
    this.#use();
    const began = clock.now();
    for (const fault of faults) clock.after(fault.at, () => this.#happen(fault));
    await clock.run(forMs, () => this.#ended());
    const failure = await this.#verdict();
    const splitReported = failure === null && this.#load.twoWriters;
    for (const node of this.#nodes.values()) node.die();
    const { counts } = this.#load;
    return { failure, splitReported, counts, faults, tookMs: clock.now() - began, journal: this.#journal };
  }

  #ended(): boolean {
    return this.#load.loss !== null || this.#load.twoWriters;
  }

  async #verdict(): Promise<Outcome['failure']> {
    const { clock, alpha, beta } = this.#pair;
    if (!this.#ended()) {
      await this.#heal();
      const whole = await clock.run(CALM_MS, () => this.#ended() || this.#isWhole());
      if (!whole) {
        const states = [...this.#nodes.values()].map(({ sim, group }) => `${sim.name} is ${group.state}`);
        return { kind: 'nobody-serves', text: `${CALM_MS} ms after the last fault ${states.join(', ')}` };
      }
    }
    if (this.#load.loss !== null) return { kind: 'loss', text: this.#load.loss };
    if (this.#load.twoWriters) return this.#splitVerdict();
    this.#calm = true;
    await clock.run(CALM_AFTER_MS);
    if (alpha.data.equals(beta.data)) return null;
    return { kind: 'disks-differ', text: 'the two disks differ although both nodes call each other in sync' };
  }

  async #splitVerdict(): Promise<Outcome['failure']> {
    await this.#heal();
    const said = (): boolean => this.#journal.some(({ kind }) => SPLIT_WORDS.includes(kind));
    if (await this.#pair.clock.run(CALM_MS, said)) return null;
    return {
      kind: 'two-writers',
      text: 'both nodes acknowledged writes at the same time, and neither said so',
    };
  }

  async #heal(): Promise<void> {
    this.#pair.net.silent = this.#pair.net.refusing = this.#channelCut = false;
    this.#pair.net.resetAll();
    for (const name of NAMES) if (!this.#nodes.has(name)) await this.#start(name);
  }

  #served(): boolean {
    return [...this.#nodes.values()].some((node) => node.serves);
  }

  /** One serves, and the other has everything. */
  #isWhole(): boolean {
    const first = [...this.#nodes.values()].find((node) => node.serves);
    const snapshot = first?.member.snapshot;
    return snapshot?.dataLinkUp === true && snapshot.sync === null && snapshot.record.inSync.length === 2;
  }

  async #start(name: SimName): Promise<void> {
    const node = new WholeNode(this.#pair.node(name), this.#surroundings());
    this.#nodes.set(name, node);
    await node.start();
  }

  #surroundings(): Surroundings {
    const { clock, random, net } = this.#pair;
    return {
      wire: { clock, random, cut: () => this.#channelCut || net.silent },
      timing: { ...DEFAULT_TIMING, ...this.#rules.timing },
      engineTiming: this.#rules.engineTiming ?? {},
      channelOf: (node): SimChannel | null => this.#nodes.get(node as SimName)?.channel ?? null,
      journal: (node, entry) => this.#note(node, entry),
    };
  }

  #note(node: string, entry: JournalEntry): void {
    const at = this.#pair.clock.now();
    const time = new Date(at).toISOString();
    this.#journal.push({ seq: this.#journal.length + 1, time, at, node, ...entry });
  }

  #use(): void {
    const { clock } = this.#pair;
    clock.after(LOAD_EVERY_MS, () => this.#use());
    if (this.#calm) return;
    for (const node of this.#nodes.values()) {
      const { snapshot } = node.member;
      if (snapshot?.role === 'secondary' && snapshot.dataLinkUp && snapshot.freshness.kind === 'inSync')
        this.#load.madeWhole(node.sim.name);
      if (node.serves) this.#load.use(node.sim);
    }
  }

  #happen(fault: Fault): void {
    if (this.#ended()) return;
    const { net, clock } = this.#pair;
    this.#note(fault.node, { kind: 'simulation.fault', level: 'warn', message: describeFault(fault) });
    switch (fault.kind) {
      case 'power':
      case 'process':
        this.#kill(fault);
        return;
      case 'link':
        net.refusing = true;
        net.resetAll();
        clock.after(fault.ms, () => (net.refusing = false));
        return;
      case 'channel':
        this.#channelCut = true;
        clock.after(fault.ms, () => (this.#channelCut = false));
        return;
      case 'network':
        net.silent = true;
        clock.after(fault.ms, () => {
          net.silent = false;
          net.resetAll();
        });
        return;
      case 'switchover':
        for (const node of this.#nodes.values()) node.switchOver();
    }
  }

  #kill({ kind, node: name, ms }: Fault): void {
    const node = this.#nodes.get(name);
    if (node === undefined) return;
    node.die();
    this.#nodes.delete(name);
    if (kind === 'power') this.#load.powerCut(name);
    node.sim.crash(kind === 'power' ? 'power' : 'process');
    if (kind === 'process') this.#nodes.get(otherOf(name))?.channel?.peerDied();
    this.#pair.clock.after(ms, () => {
      if (!this.#nodes.has(name)) void this.#start(name);
    });
  }
}
