/**
 * One round among two: the better one is elected, then everything that can go wrong with a MASTER goes wrong with
 * it, each time until the other one answers, and is mended, each time until it answers again.
 */
import { type BridgeLab, type Side } from '../../test/support/bridge-lab.ts';
import { machineNow, type Timeline } from '../../test/support/timeline.ts';
import type { Kind, Party, Standing } from './kinds.ts';

export const FAULTS = ['crash', 'stop', 'link down', 'partition', 'freeze'] as const;
export type Fault = (typeof FAULTS)[number];
/** Who takes over. */
export type Role = 'ours' | 'peer';

/** One measured thing, once. */
export interface Sample {
  /** `elected`, `takes over on crash`, `is preempted after crash`, ... */
  readonly row: string;
  /** Until the client is answered there; null when that did not happen. ms */
  readonly ms: number | null;
  /** The longest pause of answers meanwhile. ms */
  readonly pauseMs?: number;
}

const MASTER: Side = 'a';
const BACKUP: Side = 'b';
const SETTLE_MS = 60_000;

export class Rounds {
  readonly #kind: Kind;
  readonly #lab: BridgeLab;
  readonly #line: Timeline;
  readonly #role: Role;
  #master: Party | null = null;
  #backup: Party | null = null;

  constructor(kind: Kind, lab: BridgeLab, line: Timeline, role: Role) {
    this.#kind = kind;
    this.#lab = lab;
    this.#line = line;
    this.#role = role;
  }

  #start(side: Side, standing: Standing, password?: string): Promise<Party> {
    const ours = (side === BACKUP) === (this.#role === 'ours');
    return (ours ? this.#kind.ours : this.#kind.peer)(this.#lab, side, standing, password);
  }

  async run(random: () => number): Promise<Sample[]> {
    const samples: Sample[] = [];
    await this.#clear();
    const began = machineNow();
    this.#master = await this.#start(MASTER, 'better');
    samples.push({ row: 'elected', ms: await this.#answered(MASTER, began) });
    this.#backup = await this.#start(BACKUP, 'worse');
    for (const fault of FAULTS) {
      await this.#settled();
      // Anywhere between two adverts.
      await pause(random() * this.#kind.advertMs);
      samples.push(...(await this.#suffer(fault)));
    }
    await this.#settled();
    return samples;
  }

  async #suffer(fault: Fault): Promise<Sample[]> {
    const line = this.#line;
    const at = machineNow();
    await this.#break(fault);
    const ms = await this.#answered(BACKUP, at);
    const samples: Sample[] = [{ row: `takes over on ${fault}`, ms, pauseMs: line.longestPause(at) }];
    const mendedAt = await this.#mend(fault);
    const back = await this.#answered(MASTER, mendedAt);
    // Who was stopped comes back by preempting; who was only away finds another MASTER beside itself.
    if (fault === 'crash' || fault === 'stop')
      samples.push({ row: `gives way to a better one`, ms: back, pauseMs: line.longestPause(mendedAt) });
    if (fault === 'partition' || fault === 'freeze') {
      await line.until('alone', () => !line.holds(BACKUP), SETTLE_MS);
      // How long both had the address since they could hear each other.
      samples.push({ row: `two masters after a ${fault}`, ms: line.bothHeld(mendedAt) });
    }
    return samples;
  }

  async #break(fault: Fault): Promise<void> {
    if (fault === 'crash') await this.#master?.crash();
    else if (fault === 'stop') await this.#master?.stop();
    else if (fault === 'freeze') await this.#master?.freeze();
    else if (fault === 'partition') await this.#lab.cut(MASTER, 'lan0');
    else await this.#lab.linkDown(MASTER);
  }

  /** @returns when it was mended */
  async #mend(fault: Fault): Promise<number> {
    if (fault === 'partition') await this.#lab.heal(MASTER, 'lan0');
    if (fault === 'link down') await this.#lab.linkUp(MASTER);
    if (fault === 'freeze') await this.#master?.thaw();
    // ucarp ends when its link goes down.
    const gone = fault === 'crash' || fault === 'stop' || this.#master?.running() === false;
    if (!gone) return machineNow();
    await this.#takeOff(MASTER);
    const at = machineNow();
    this.#master = await this.#start(MASTER, 'better');
    return at;
  }

  /** @returns ms from `from` until that side answers; null when it never does */
  async #answered(side: Side, from: number): Promise<number | null> {
    const answer = () => this.#line.firstAnswer(side, from);
    // The other one may have answered a last time since.
    const reached = (): boolean => this.#line.answering === side && answer() !== null;
    const patience = 3 * this.#kind.downMs + 3000;
    return this.#line.until(`answered by ${side}`, reached, patience).then(
      () => (answer()?.at ?? from) - from,
      () => null,
    );
  }

  /** The better one is alone and has been heard to be. */
  async #settled(): Promise<void> {
    const line = this.#line;
    const alone = (): boolean => line.answering === MASTER && line.holds(MASTER) && !line.holds(BACKUP);
    const at = await line.until('settled', alone, SETTLE_MS);
    await line.until('heard', () => line.spoken(MASTER, at).length >= 2, SETTLE_MS);
  }

  /** Whether both become MASTER when their passwords differ. */
  async differ(): Promise<boolean> {
    await this.#clear();
    this.#master = await this.#start(MASTER, 'better', 'one');
    this.#backup = await this.#start(BACKUP, 'worse', 'other');
    const both = (): boolean => this.#line.holds(MASTER) && this.#line.holds(BACKUP);
    const refused = await this.#line.until('both', both, 3 * this.#kind.downMs + 3000).then(
      () => true,
      () => false,
    );
    await this.#clear();
    return refused;
  }

  async #clear(): Promise<void> {
    for (const party of [this.#master, this.#backup]) {
      await party?.thaw().catch(() => undefined);
      await party?.crash().catch(() => undefined);
    }
    this.#master = this.#backup = null;
    for (const side of [MASTER, BACKUP]) await this.#takeOff(side);
  }

  async #takeOff(side: Side): Promise<void> {
    const shown = await this.#lab.ip(side, '-o', 'address', 'show', 'dev', 'lan0');
    for (const [, cidr] of shown.matchAll(/inet6? (\S+::?1\d\d\/\d+|\S+\.1\d\d\/\d+)/g))
      if (cidr !== undefined) await this.#lab.ip(side, 'address', 'del', cidr, 'dev', 'lan0').catch(() => '');
    await this.#line.until('without the address', () => !this.#line.holds(side), SETTLE_MS);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
