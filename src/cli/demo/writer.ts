/**
 * A client that writes stamped blocks without pause and never gives up: it follows the group to
 * whichever node serves it. What was acknowledged is remembered and read back at the end.
 */
import { access, constants, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { connectNbd, type NbdInitiator } from '../../device/nbd-initiator.ts';
import { HastateError } from '../../model/errors.ts';
import { decodeStamp, encodeStamp, STAMP_BYTES } from './stamp.ts';

/** Where stamps go: slots of one block each. A write that resolves is acknowledged. */
export interface StampTarget {
  write(slot: number, block: Buffer): Promise<void>;
  read(slot: number): Promise<Buffer>;
  close(): Promise<void>;
}

/** Finds the serving node and opens it. Null while nobody serves. */
export type FindTarget = () => Promise<StampTarget | null>;

export async function openNbdTarget(socketPath: string, exportName: string): Promise<StampTarget> {
  const nbd: NbdInitiator = await connectNbd({ socketPath, exportName });
  return {
    write: (slot, block) => nbd.write(slot * STAMP_BYTES, block),
    read: (slot) => nbd.read(slot * STAMP_BYTES, STAMP_BYTES),
    close: () => nbd.disconnect(),
  };
}

/**
 * One file a slot on a mounted file system, every write followed by fsync. It is a service of the
 * group: it writes only while its hook says so, and shows when it has a file open.
 */
export function openFileTarget(directory: string, serviceDir: string): StampTarget {
  const path = (slot: number): string => join(directory, `slot-${slot}`);
  return {
    write: (slot, block) =>
      whileAllowed(serviceDir, slot, async () => {
        // Never cut to nothing: whoever reads back meanwhile would miss a stamp that is safe.
        const file = await open(path(slot), constants.O_WRONLY | constants.O_CREAT, 0o600);
        try {
          await file.write(block, 0, block.length, 0);
          await file.sync();
        } finally {
          await file.close();
        }
      }),
    async read(slot) {
      const file = await open(path(slot), 'r');
      try {
        const block = Buffer.alloc(STAMP_BYTES);
        await file.read(block, 0, STAMP_BYTES, 0);
        return block;
      } finally {
        await file.close();
      }
    },
    close: () => Promise.resolve(),
  };
}

/** First says busy, then asks: so the hook that takes `go` away sees everybody who got it. */
async function whileAllowed(serviceDir: string, slot: number, work: () => Promise<void>): Promise<void> {
  const busy = join(serviceDir, `busy-${slot}`);
  await writeFile(busy, '');
  try {
    await access(join(serviceDir, 'go'));
    await work();
  } finally {
    await rm(busy, { force: true });
  }
}

const RETRY_MS = 5;
/** A write that takes longer is given up and sent again: the node may hang. */
const WRITE_TIMEOUT_MS = 10_000;

export class StampWriter {
  readonly #find: FindTarget;
  readonly #slots: number;
  readonly #lanes: number;
  readonly #acknowledged = new Map<number, number>();
  #count = 0;
  #lastAckAt = 0;
  #longestGapMs = 0;
  #running = false;
  #target: Promise<StampTarget> | null = null;
  #work: Promise<void>[] = [];

  constructor(options: { find: FindTarget; slots: number; lanes: number }) {
    this.#find = options.find;
    this.#slots = options.slots;
    this.#lanes = options.lanes;
  }

  /** Acknowledged writes so far. */
  get acknowledged(): number {
    return this.#count;
  }

  /** Longest time without any acknowledgement since the last call of `resetGap`. ms */
  get longestGapMs(): number {
    return Math.max(
      this.#longestGapMs,
      this.#running && this.#lastAckAt > 0 ? performance.now() - this.#lastAckAt : 0,
    );
  }

  resetGap(): void {
    this.#longestGapMs = 0;
  }

  start(): void {
    this.#running = true;
    this.#work = Array.from({ length: this.#lanes }, (_, lane) => this.#lane(lane));
  }

  /** Each lane owns its slots, so that the writes of one slot are in order. */
  async #lane(lane: number): Promise<void> {
    const ownSlots = Math.floor(this.#slots / this.#lanes);
    for (let sequence = 0; this.#running; sequence += 1) {
      await this.#writeUntilAcknowledged(lane + this.#lanes * (sequence % ownSlots), sequence);
    }
  }

  /** The same stamp again and again until somebody acknowledges it: that is what a client does. */
  async #writeUntilAcknowledged(slot: number, sequence: number): Promise<void> {
    const block = encodeStamp(slot, sequence);
    while (this.#running) {
      const opening = (this.#target ??= this.#open());
      try {
        const target = await opening;
        await withTimeout(target.write(slot, block), WRITE_TIMEOUT_MS);
        this.#noteAcknowledged(slot, sequence);
        return;
      } catch {
        if (this.#target === opening) {
          this.#target = null;
          opening.then((target) => target.close()).catch(() => undefined);
        }
        await pause();
      }
    }
  }

  #noteAcknowledged(slot: number, sequence: number): void {
    const now = performance.now();
    if (this.#lastAckAt > 0) this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastAckAt);
    this.#lastAckAt = now;
    this.#count += 1;
    this.#acknowledged.set(slot, Math.max(sequence, this.#acknowledged.get(slot) ?? -1));
  }

  async #open(): Promise<StampTarget> {
    for (;;) {
      const target = await this.#find();
      if (target !== null) return target;
      if (!this.#running)
        throw new HastateError('writer-stopped', 'the writer was stopped while nobody served');
      await pause();
    }
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#work);
    const target = this.#target;
    this.#target = null;
    await target?.then((open) => open.close()).catch(() => undefined);
  }

  /** Reads every slot back from whoever serves now. Stop or keep writing: a newer stamp is as good. */
  async verify(): Promise<{
    checked: number;
    lost: { slot: number; expected: number; found: number | null }[];
  }> {
    const expected = new Map(this.#acknowledged);
    const target = await this.#openOnce();
    const lost: { slot: number; expected: number; found: number | null }[] = [];
    try {
      for (const [slot, sequence] of expected) {
        const read = async (): Promise<number | null> => decodeStamp(await target.read(slot), slot);
        // One that is being written right then may show both halves.
        const found = (await read()) ?? (await read());
        if (found === null || found < sequence) lost.push({ slot, expected: sequence, found });
      }
    } finally {
      await target.close();
    }
    return { checked: expected.size, lost };
  }

  async #openOnce(): Promise<StampTarget> {
    const target = await this.#find();
    if (target === null)
      throw new HastateError('nobody-serves', 'no node serves the group: nothing can be read back');
    return target;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}

async function withTimeout<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new HastateError('write-timeout', `a write was not answered within ${ms} ms`));
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
