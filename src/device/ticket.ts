/**
 * A request that the device has not answered yet. It is used again for a later one, with the functions
 * that the device calls back, so that a small request allocates nothing here.
 */
import type { NbdRequest } from '../protocol/nbd.ts';
import type { ReplyRoom } from './reply-batch.ts';
import { received } from './split-request.ts';

type Settle = (ticket: Ticket, error: string | null) => void;

export class Ticket {
  cookieHigh = 0;
  cookieLow = 0;
  /** For the data of a read. */
  room: ReplyRoom | null = null;
  readonly done: (error: string | null) => void;
  /** As the answer of BlockDevice.read() into the room. */
  readonly read: (error: string | null, data: Buffer | null) => void;

  constructor(settle: Settle) {
    this.done = (error) => settle(this, error);
    this.read = (error, data) =>
      settle(this, error ?? (this.room === null ? null : received(data, this.room.payload)));
  }
}

/** As many as requests were ever under way together. */
export class Tickets {
  readonly #settle: Settle;
  readonly #free: Ticket[] = [];

  constructor(settle: Settle) {
    this.#settle = settle;
  }

  take({ cookieHigh, cookieLow }: NbdRequest, room: ReplyRoom | null): Ticket {
    const ticket = this.#free.pop() ?? new Ticket(this.#settle);
    ticket.cookieHigh = cookieHigh;
    ticket.cookieLow = cookieLow;
    ticket.room = room;
    return ticket;
  }

  /** It was answered, once. */
  give(ticket: Ticket): void {
    ticket.room = null;
    this.#free.push(ticket);
  }
}
