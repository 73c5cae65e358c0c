/** A random life of two nodes, told by a seed: writes, faults, failovers, and what must hold after each. */
import { DEFAULT_TIMING } from '../../src/model/timing.ts';
import type { EngineSnapshot } from '../../src/replication/messages.ts';
import { Oracle } from '../../src/simulate/sim-oracle.ts';
import { otherOf, SimPair } from '../../src/simulate/sim-node.ts';
import type { SimNode, SimOptions } from '../../src/simulate/sim-node.ts';

const D = DEFAULT_TIMING.promotionDelayMs;
const H = DEFAULT_TIMING.holdMs;
const SPAN = 2 * 1024 * 1024;
/** Blocks of a long write: sometimes more than one request of two hastate nodes. */
const LONG = 280;

export class SimStory {
  readonly pair: SimPair;
  readonly log: string[] = [];
  readonly #oracle = new Oracle();
  #primary: SimNode;

  constructor(seed: number, options: SimOptions) {
    this.pair = new SimPair(seed, options);
    this.#primary = this.pair.alpha;
  }

  /** @throws Error with the story when a rule is broken */
  async run(rounds: number): Promise<void> {
    for (const node of [this.pair.alpha, this.pair.beta]) {
      const hear = node.onEvent;
      node.onEvent = (event) => {
        this.#say(`  ${node.name}: ${event.kind}: ${event.message}`);
        hear(event);
      };
    }
    for (const node of [this.pair.alpha, this.pair.beta]) node.disk.instant = this.pair.random.chance(0.3);
    await this.pair.join();
    for (let round = 0; round < rounds; round++) await this.#round();
    this.#say('end');
    await this.#whole();
  }

  async #round(): Promise<void> {
    const { random } = this.pair;
    this.#load(2 + random.below(25));
    await this.pair.clock.run(random.next() * 8);
    const faults = [
      () => this.#cutLink(),
      () => this.#loseLink(),
      () => this.#deafness(),
      () => this.#keepApart(),
      () => this.#crashSecondary(),
      () => this.#crashSecondary(),
      () => this.#failover(),
      () => this.#failover(),
      () => this.#failover(),
      () => this.#switchover(),
      () => this.#blackout(),
    ];
    await faults[random.below(faults.length)]?.();
    this.#load(random.below(10));
    await this.pair.clock.run(random.next() * 300);
    if (random.chance(0.5)) await this.#whole();
  }

  get #secondary(): SimNode {
    return this.pair.node(otherOf(this.#primary.name));
  }

  /** Writes and flushes without waiting for them. */
  #load(count: number): void {
    const { random } = this.pair;
    const node = this.#primary;
    for (let i = 0; i < count; i++) {
      if (random.chance(0.15)) {
        const done = this.#oracle.flush();
        node.device?.flush((error) => {
          if (error === null) done();
        });
        continue;
      }
      if (this.pair.options.punches !== undefined && random.chance(0.2)) {
        this.#zero();
        continue;
      }
      const length = 4096 * (1 + random.below(random.chance(0.1) ? LONG : 6));
      const offset = 4096 * random.below((SPAN - length) / 4096);
      const { data, ended } = this.#oracle.write(offset, length);
      node.device?.write(offset, data, random.chance(0.1), ended);
    }
  }

  /** Sometimes longer than one piece. */
  #zero(): void {
    const { random } = this.pair;
    const length = 4096 * (1 + random.below(random.chance(0.1) ? 400 : 40));
    const offset = 4096 * random.below((SPAN - length) / 4096);
    const ended = this.#oracle.zero(offset, length);
    const options = { fua: random.chance(0.1), mayPunch: random.chance(0.7), fast: false };
    this.#primary.device?.zero(offset, length, options, ended);
  }

  #cutLink(): Promise<void> {
    this.#say('data link reset');
    this.pair.net.resetAll();
    return Promise.resolve();
  }

  #loseLink(): Promise<void> {
    this.#say('data link silent for ever');
    this.pair.net.loseAll();
    return Promise.resolve();
  }

  async #deafness(): Promise<void> {
    const ms = 20 + this.pair.random.below(250);
    this.#say(`network silent for ${ms} ms`);
    this.pair.net.silent = true;
    this.#load(5);
    await this.pair.clock.run(ms);
    this.pair.net.silent = false;
    this.pair.net.resetAll();
  }

  async #keepApart(): Promise<void> {
    this.#say('data link refused for a while, peer channel up');
    this.pair.net.refusing = true;
    this.pair.net.resetAll();
    this.#load(8);
    await this.pair.clock.run(this.pair.random.below(2000));
    if (this.pair.random.chance(0.3)) await this.#failover();
    this.pair.net.refusing = false;
  }

  async #crashSecondary(): Promise<void> {
    const how = this.pair.random.chance(0.5) ? 'power' : 'process';
    this.#say(`secondary ${this.#secondary.name} dies (${how})`);
    this.#secondary.crash(how);
    this.#load(8);
    await this.pair.clock.run(this.pair.random.below(1500));
    await this.#secondary.start();
    await this.#secondary.run({ type: 'become-secondary' });
  }

  async #failover(): Promise<void> {
    const how = this.pair.random.chance(0.6) ? 'power' : 'process';
    const old = this.#primary;
    const other = this.#secondary;
    this.#say(`primary ${old.name} dies (${how})`);
    old.crash(how);
    await this.pair.clock.run(D + 100 + this.pair.random.below(300));
    if (mayTakeOver(other, await other.snapshot())) {
      await this.#take(other, 'acked');
      await this.pair.clock.run(this.pair.random.below(1000));
      await old.start();
      await old.run({ type: 'become-secondary' });
      return;
    }
    this.#say(`${other.name} may not take over: ${(await other.snapshot()).freshness.kind}`);
    await old.start();
    await this.#take(old, how === 'power' ? 'flushed' : 'acked');
  }

  async #switchover(): Promise<void> {
    const old = this.#primary;
    const next = this.#secondary;
    this.#say(`switchover to ${next.name}`);
    const released = await old.run({ type: 'release', handover: true });
    await old.run({ type: 'become-secondary' });
    if (!released.record.released) {
      this.#say('not handed over: the peer is not in sync');
      await this.#take(old, 'acked');
      return;
    }
    this.#primary = next;
    await this.pair.promote(next, ['alpha', 'beta']);
    await this.#verify('acked');
  }

  async #blackout(): Promise<void> {
    this.#say('both lose power');
    this.#primary.crash('power');
    this.#secondary.crash('power');
    const snapshots = [await this.pair.alpha.start(), await this.pair.beta.start()];
    const best =
      snapshots[0] !== undefined && betterOf(snapshots[0], snapshots[1]) ? this.pair.alpha : this.pair.beta;
    await this.#take(best, 'flushed');
    await this.#secondary.run({ type: 'become-secondary' });
  }

  async #take(node: SimNode, demand: 'acked' | 'flushed'): Promise<void> {
    this.#say(`${node.name} becomes primary, everything ${demand} must be there`);
    this.#primary = node;
    await this.pair.promote(node, [node.name]);
    await this.#verify(demand);
  }

  async #verify(demand: 'acked' | 'flushed'): Promise<void> {
    const data = await this.#primary.read(0, SPAN / 2);
    const rest = await this.#primary.read(SPAN / 2, SPAN / 2);
    const all = Buffer.concat([data, rest]);
    const wrong = this.#oracle.check(all, demand);
    if (wrong !== null) this.#fail(wrong);
    this.#oracle.settle(all);
  }

  /** Lets both nodes become equal and compares them. */
  async #whole(): Promise<void> {
    try {
      // A link that is dead already may look alive for a while.
      for (let quiet = false; !quiet;) {
        await this.pair.untilInSync(this.#secondary);
        const before = this.#primary.events.length;
        const done = this.#oracle.flush();
        const error = await this.#primary.flush();
        if (error === null) done();
        await this.pair.clock.run(50);
        quiet = this.#primary.events.length === before;
      }
    } catch (error) {
      this.#fail(String(error));
    }
    const all = await this.#primary
      .read(0, SPAN / 2)
      .then(async (half) => Buffer.concat([half, await this.#primary.read(SPAN / 2, SPAN / 2)]));
    const wrong = this.#oracle.check(all, 'acked');
    if (wrong !== null) this.#fail(wrong);
    if (!this.pair.alpha.data.equals(this.pair.beta.data)) {
      const a = this.pair.alpha.data;
      let at = 0;
      while (a[at] === this.pair.beta.data[at]) at++;
      this.#fail(`the disks differ at offset ${at}`);
    }
    this.#say('both disks are equal');
  }

  #say(text: string): void {
    this.log.push(`${this.pair.clock.now().toFixed(1)} ${text}`);
  }

  #fail(text: string): never {
    throw new Error(`${text}\n${this.log.slice(-80).join('\n')}`);
  }
}

/** SAFETY B2, B3 as the decision judges them. */
function mayTakeOver(node: SimNode, snapshot: EngineSnapshot): boolean {
  if (snapshot.freshness.kind !== 'inSync') return false;
  return snapshot.dataLinkDownAt === null || node.lease.at <= snapshot.dataLinkDownAt + H;
}

/** After both were down: a sole owner, else the last primary whose disk is clean. */
function betterOf(a: EngineSnapshot, b: EngineSnapshot | undefined): boolean {
  if (b === undefined || a.freshness.kind === 'inSync') return true;
  if (b.freshness.kind === 'inSync') return false;
  if (a.record.epoch.number !== b.record.epoch.number) return a.record.epoch.number > b.record.epoch.number;
  if (a.record.state !== b.record.state) return a.record.state === 'clean';
  return a.record.primary === 'alpha';
}
