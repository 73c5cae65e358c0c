/**
 * Answers of a secondary: final ones leave in the order of their requests, as hastd's do, and all
 * that are ready in one turn leave together.
 * @see hast.md section 6
 */
import type { Buffer } from 'node:buffer';
import type { ResourceSettings } from '../model/settings.ts';
import { digest } from '../protocol/checksum.ts';
import {
  DIGEST,
  encodeBatch,
  encodeReply,
  errnoToWire,
  MAX_BATCH,
  packPayload,
} from '../protocol/hast-message.ts';
import type { ConnectionPort } from './ports.ts';

/** The place of one request among the answers. */
export interface Slot {
  /** A number where answers are batched: a hastate primary counts its requests. */
  readonly seq: bigint | number;
  parts: readonly Buffer[] | null;
}

/** Done without error and without data: may go into a batch. */
const DONE: readonly Buffer[] = [];

export class ReplyQueue {
  readonly #settings: ResourceSettings;
  readonly #out: ConnectionPort;
  readonly #version: number;
  readonly #batches: boolean;
  #slots: Slot[] = [];
  #slab: Buffer[] = [];
  /** Requests of which the same is to be said. */
  #received: number[] = [];
  #done: number[] = [];
  #scheduled = false;
  #closed = false;

  /** @param batches the primary understands one answer to many requests */
  constructor(settings: ResourceSettings, out: ConnectionPort, version: number, batches: boolean) {
    this.#batches = batches;
    this.#settings = settings;
    this.#out = out;
    this.#version = version;
  }

  /** Requests whose answer has not left. */
  get waiting(): number {
    return this.#slots.length;
  }

  slot(seq: bigint | number): Slot {
    const slot: Slot = { seq, parts: null };
    this.#slots.push(slot);
    return slot;
  }

  /** memsync: the data is in memory. Leaves at once. */
  received(slot: Slot): void {
    if (this.#batches && typeof slot.seq === 'number') {
      this.#received.push(slot.seq);
      if (this.#received.length === MAX_BATCH) this.#endBatches();
      this.#schedule();
    } else this.#queue(encodeReply(this.#version, slot.seq, { received: true }));
  }

  /** @param received a memsync request was refused: both answers in one */
  answer(slot: Slot, error: string | null, received = false): void {
    slot.parts =
      this.#batches && error === null && !received
        ? DONE
        : [
            encodeReply(this.#version, slot.seq, {
              ...(received ? { received } : {}),
              ...(error === null ? {} : { error: errnoToWire(error) }),
            }),
          ];
    this.#release();
  }

  answerData(slot: Slot, data: Buffer): void {
    const packed = packPayload(data, this.#settings.checksum, this.#settings.compression);
    const head = encodeReply(this.#version, slot.seq, {
      dataFields: packed.fields,
      size: packed.data.length,
    });
    slot.parts = [head, packed.data];
    this.#release();
  }

  answerDigest(slot: Slot, data: Buffer): void {
    const extra = [{ name: DIGEST, type: 'bytes', value: digest(data) } as const];
    slot.parts = [encodeReply(this.#version, slot.seq, { extra })];
    this.#release();
  }

  /** Sends what is ready; nothing is sent afterwards. */
  close(): void {
    this.#flush();
    this.#closed = true;
    this.#slots = [];
  }

  #release(): void {
    let ready = 0;
    for (const { seq, parts } of this.#slots) {
      if (parts === null) break;
      ready++;
      if (parts !== DONE || typeof seq !== 'number') {
        this.#queue(...parts);
        continue;
      }
      this.#done.push(seq);
      if (this.#done.length === MAX_BATCH) this.#endBatches();
      this.#schedule();
    }
    if (ready > 0) this.#slots.splice(0, ready);
  }

  #queue(...parts: readonly Buffer[]): void {
    this.#endBatches();
    this.#slab.push(...parts);
    this.#schedule();
  }

  /** Nothing overtakes what was said before; "received" comes before "done". */
  #endBatches(): void {
    if (this.#received.length > 0) this.#slab.push(encodeBatch(this.#version, 'received', this.#received));
    if (this.#done.length > 0) this.#slab.push(encodeBatch(this.#version, 'done', this.#done));
    if (this.#received.length > 0) this.#received = [];
    if (this.#done.length > 0) this.#done = [];
  }

  #schedule(): void {
    if (this.#closed || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#closed) return;
    this.#endBatches();
    if (this.#slab.length === 0) return;
    const parts = this.#slab;
    this.#slab = [];
    this.#out.send(...parts);
  }
}
