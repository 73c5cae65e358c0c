/**
 * Answers of a secondary: final ones leave in the order of their requests, as hastd's do, and all
 * that are ready in one turn leave together.
 * @see hast.md section 6
 */
import type { Buffer } from 'node:buffer';
import type { ResourceSettings } from '../model/settings.ts';
import { encodeReply, errnoToWire, packPayload } from '../protocol/hast-message.ts';
import type { ConnectionPort } from './ports.ts';

/** The place of one request among the answers. */
export interface Slot {
  readonly seq: bigint;
  parts: Buffer[] | null;
}

export class ReplyQueue {
  readonly #settings: ResourceSettings;
  readonly #out: ConnectionPort;
  readonly #version: number;
  #slots: Slot[] = [];
  #slab: Buffer[] = [];
  #scheduled = false;
  #closed = false;

  constructor(settings: ResourceSettings, out: ConnectionPort, version: number) {
    this.#settings = settings;
    this.#out = out;
    this.#version = version;
  }

  /** Requests whose answer has not left. */
  get waiting(): number {
    return this.#slots.length;
  }

  slot(seq: bigint): Slot {
    const slot: Slot = { seq, parts: null };
    this.#slots.push(slot);
    return slot;
  }

  /** memsync: the data is in memory. Leaves at once. */
  received(slot: Slot): void {
    this.#queue(encodeReply(this.#version, slot.seq, { received: true }));
  }

  /** @param received a memsync request was refused: both answers in one */
  answer(slot: Slot, error: string | null, received = false): void {
    slot.parts = [
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

  /** Sends what is ready; nothing is sent afterwards. */
  close(): void {
    this.#flush();
    this.#closed = true;
    this.#slots = [];
  }

  #release(): void {
    let ready = 0;
    for (const slot of this.#slots) {
      if (slot.parts === null) break;
      ready++;
      this.#queue(...slot.parts);
    }
    if (ready > 0) this.#slots.splice(0, ready);
  }

  #queue(...parts: Buffer[]): void {
    if (this.#closed) return;
    this.#slab.push(...parts);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#closed || this.#slab.length === 0) return;
    const parts = this.#slab;
    this.#slab = [];
    this.#out.send(...parts);
  }
}
