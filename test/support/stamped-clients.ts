/**
 * Clients that write stamped blocks without pause: some at each node, each knows its own node only
 * and tries again for ever. So what two nodes acknowledge can be compared.
 */
import { join } from 'node:path';

import { decodeStamp, encodeStamp, STAMP_BYTES } from '../../src/cli/demo/stamp.ts';
import { connectNbd, type NbdInitiator } from '../../src/device/nbd-initiator.ts';
import type { LabDaemon, LabNode } from './daemon.ts';

const LANES = 2;
const REREADS = 3;
const SLOTS_A_LANE = 192;
/** Blocks between two writes; it has no factor in common with SLOTS_A_LANE. */
const SCATTER = 77;
/** Every so many writes one block is read back. */
const READ_EVERY = 8;
const RETRY_MS = 5;
const FILL_BYTES = 1024 * 1024;
const LET_GO_MS = 1000;
const PATIENCE_MS = 15_000;

/** One answer of a node to a request. Times are ms of this process. */
export interface Answered {
  readonly node: LabNode;
  readonly submittedAt: number;
  readonly at: number;
}

export interface Lost {
  readonly slot: number;
  readonly acknowledged: number;
  readonly found: number | null;
}

interface ClientOptions {
  /** A lane flushes after every so many of its writes; never by default. */
  readonly flushEvery?: number;
  /** Neighbouring writes lie far apart, so that many extents are in use. Default false. */
  readonly scatter?: boolean;
  /** A lane rests after each write, so that others get the processor. Default 0. */
  readonly restMs?: number;
}

export class StampedClients {
  readonly #daemons: readonly LabDaemon[];
  readonly #resource: string;
  readonly #answers: Answered[] = [];
  /** Latest acknowledged sequence of each slot. */
  readonly #acknowledged = new Map<number, number>();
  /** The same as it was before the latest FLUSH of its lane that succeeded. */
  readonly #flushed = new Map<number, number>();
  readonly #flushEvery: number;
  readonly #restMs: number;
  readonly #stride: number;
  /** Reads that did not show what this client had been told is written. */
  readonly stale: Lost[] = [];
  readonly #open = new Set<NbdInitiator>();
  readonly #stopping = new AbortController();
  #work: Promise<void>[] = [];

  constructor(
    daemons: readonly LabDaemon[],
    resource = 'disk1',
    { flushEvery = Infinity, restMs = 0, scatter = false }: ClientOptions = {},
  ) {
    this.#restMs = restMs;
    this.#stride = scatter ? SCATTER : 1;
    this.#flushEvery = flushEvery;
    this.#daemons = daemons;
    this.#resource = resource;
  }

  start(): this {
    this.#work = this.#daemons.flatMap((daemon, index) =>
      Array.from({ length: LANES }, (_, lane) => this.#lane(daemon, (index * LANES + lane) * SLOTS_A_LANE)),
    );
    return this;
  }

  get answers(): readonly Answered[] {
    return this.#answers;
  }

  /** Blocks that were acknowledged at least once. */
  get blocks(): number {
    return this.#acknowledged.size;
  }

  /** The nodes in the order in which they answered, each as often as it took turns. */
  served(since = 0): LabNode[] {
    const turns: LabNode[] = [];
    for (const { node, at } of this.#answers) {
      if (at >= since && turns.at(-1) !== node) turns.push(node);
    }
    return turns;
  }

  countOf(node: LabNode, since = 0): number {
    return this.#answers.filter((answer) => answer.node === node && answer.at >= since).length;
  }

  /** The longest time without an answer of any node since then, until now. ms */
  longestGapMs(since: number): number {
    const times = [since, ...this.#answers.map(({ at }) => at).filter((at) => at > since), performance.now()];
    return times.reduce((longest, at, index) => Math.max(longest, at - (times[index - 1] ?? at)), 0);
  }

  /** @throws Error when the node does not answer so many requests more within 15 s */
  async more(node: LabNode, count = 100): Promise<void> {
    const goal = this.countOf(node) + count;
    await eventually(`${goal} answers of ${node}`, () => this.countOf(node) >= goal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const letGo = setTimeout(() => {
      for (const nbd of this.#open) void nbd.disconnect();
    }, LET_GO_MS);
    await Promise.all(this.#work);
    clearTimeout(letGo);
  }

  /**
   * Reads every acknowledged block from that node. A newer stamp is as good: its answer was on the way.
   * @param by only what this node acknowledged
   */
  async lostOn(daemon: LabDaemon, by: LabNode | null = null): Promise<Lost[]> {
    const nbd = await this.#connect(daemon);
    const lost: Lost[] = [];
    try {
      for (const [slot, acknowledged] of this.#acknowledged) {
        if (by !== null && this.#nodeOf(slot) !== by) continue;
        let found = await readStamp(nbd, slot);
        // A lane may write it at this moment: a read beside a write may meet parts of both.
        for (let again = 0; found === null && again < REREADS; again += 1) found = await readStamp(nbd, slot);
        if (found === null || found < acknowledged) lost.push({ slot, acknowledged, found });
      }
    } finally {
      await nbd.disconnect();
    }
    return lost;
  }

  /** The only disk that has to have it lost its power: what was not flushed may be gone. */
  forgetUnflushed(): void {
    this.#acknowledged.clear();
    for (const [slot, number] of this.#flushed) this.#acknowledged.set(slot, number);
  }

  #nodeOf(slot: number): LabNode | undefined {
    return this.#daemons[Math.floor(slot / (LANES * SLOTS_A_LANE))]?.node;
  }

  /** Writes `bytes` of filler from `offset` on, so that there is something to resync. Multiples of 1 MiB. */
  async fill(daemon: LabDaemon, offset: number, bytes: number): Promise<void> {
    const nbd = await this.#connect(daemon);
    try {
      for (let at = offset; at < offset + bytes; at += FILL_BYTES)
        await nbd.write(at, Buffer.alloc(FILL_BYTES, `filler of ${at};`));
    } finally {
      await nbd.disconnect();
    }
  }

  #connect(daemon: LabDaemon, signal?: AbortSignal): Promise<NbdInitiator> {
    const socketPath = join(daemon.files.stateDir, 'nbd', `${this.#resource}.sock`);
    return connectNbd({ socketPath, exportName: this.#resource }, signal);
  }

  async #lane(daemon: LabDaemon, firstSlot: number): Promise<void> {
    const { signal } = this.#stopping;
    const sequence = { next: 0 };
    while (!signal.aborted) {
      try {
        await this.#writeAt(daemon, firstSlot, sequence);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** Until the connection ends. */
  async #writeAt(daemon: LabDaemon, firstSlot: number, sequence: { next: number }): Promise<void> {
    const { signal } = this.#stopping;
    const nbd = await this.#connect(daemon, signal);
    this.#open.add(nbd);
    try {
      while (!stopped(signal)) await this.#one(daemon.node, nbd, firstSlot, sequence);
    } finally {
      this.#open.delete(nbd);
      await nbd.disconnect();
    }
  }

  async #one(node: LabNode, nbd: NbdInitiator, firstSlot: number, sequence: { next: number }): Promise<void> {
    const number = sequence.next;
    sequence.next += 1;
    const slot = firstSlot + ((number * this.#stride) % SLOTS_A_LANE);
    if (this.#restMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#restMs));
    let submittedAt = performance.now();
    await nbd.write(slot * STAMP_BYTES, encodeStamp(slot, number));
    this.#answers.push({ node, submittedAt, at: performance.now() });
    this.#acknowledged.set(slot, number);
    if (number % this.#flushEvery === this.#flushEvery - 1) await this.#flush(nbd, firstSlot);
    if (number % READ_EVERY !== 0) return;
    submittedAt = performance.now();
    const found = await readStamp(nbd, slot);
    this.#answers.push({ node, submittedAt, at: performance.now() });
    if (found !== number) this.stale.push({ slot, acknowledged: number, found });
  }

  async #flush(nbd: NbdInitiator, firstSlot: number): Promise<void> {
    const mine = [...this.#acknowledged].filter(
      ([slot]) => slot >= firstSlot && slot < firstSlot + SLOTS_A_LANE,
    );
    await nbd.flush();
    for (const [slot, number] of mine) this.#flushed.set(slot, number);
  }
}

/** It may have changed since it was last asked. */
function stopped(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function readStamp(nbd: NbdInitiator, slot: number): Promise<number | null> {
  return decodeStamp(await nbd.read(slot * STAMP_BYTES, STAMP_BYTES), slot);
}

/** @throws Error when it does not become true in time */
export async function eventually(
  what: string,
  reached: () => boolean | Promise<boolean>,
  ms = PATIENCE_MS,
): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await reached())) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
