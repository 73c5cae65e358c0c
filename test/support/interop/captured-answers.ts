/** Answers the requests of a primary as a captured secondary answered the same ones. */
import { encodeFrame, HAST_CMD, HAST_VERSION } from '../../../src/protocol/hast-message.ts';
import type { Message } from './captured.ts';
import { type Compared, withU64 } from './compare.ts';
import { messageAt } from './played-connection.ts';

export class CapturedAnswers {
  /** What came for the captured request of that index. */
  readonly taken: Compared[] = [];
  /** Requests for which there is nothing in the capture. */
  readonly beside: Compared[] = [];
  /** How many came before one that was captured before them. */
  swapped = 0;
  readonly #requests: readonly Message[];
  readonly #replies: ReadonlyMap<Message, readonly Message[]>;
  #awaited: Message[] = [];

  constructor(requests: readonly Message[], replies: readonly Message[]) {
    this.#requests = requests;
    const left = [...replies];
    this.#replies = new Map(requests.map((request) => [request, takeReplies(request, left)]));
  }

  get allCame(): boolean {
    return this.#awaited.length === 0;
  }

  /** From now on these may come, in any order. */
  expect(...requests: readonly Message[]): void {
    this.#awaited.push(...requests);
  }

  /** @returns what the secondary says to it; what it has no answer to gets a plain success */
  answer(ours: Compared): { readonly request: Message | null; readonly replies: readonly Compared[] } {
    const at = this.#awaited.findIndex((request) => isSame(request, ours));
    const [request] = at < 0 ? [] : this.#awaited.splice(at, 1);
    const seq = ours.nv.big('seq', 'uint64');
    if (request === undefined) {
      this.beside.push(ours);
      return { request: null, replies: seq === undefined ? [] : [success(seq, ours.nv)] };
    }
    if (at > 0) this.swapped++;
    this.taken[this.#requests.indexOf(request)] = ours;
    const replies = this.#replies.get(request) ?? [];
    return { request, replies: seq === undefined ? [] : replies.map((reply) => withU64(reply, 'seq', seq)) };
  }
}

function isSame({ nv: captured }: Message, { nv: ours }: Compared): boolean {
  if (captured.number('cmd', 'uint8') !== ours.number('cmd', 'uint8')) return false;
  return captured.size('offset') === ours.size('offset');
}

/** What is read that way is looked at by nobody. */
function success(seq: bigint, asked: Compared['nv']): Compared {
  const isRead = asked.number('cmd', 'uint8') === HAST_CMD.READ;
  const data = isRead ? Buffer.alloc(asked.size('length') ?? 0) : undefined;
  const fields = [{ name: 'seq', type: 'uint64', value: seq }] as const;
  const message = messageAt(Buffer.concat(encodeFrame(HAST_VERSION, fields, data)), 0);
  if (message === null) throw new Error('half a message was encoded');
  return message;
}

/** Answers carry no command: they are taken in order among those of one seq, two for memsync. */
function takeReplies({ nv }: Message, replies: Message[]): Message[] {
  const seq = nv.big('seq', 'uint64');
  const taken: Message[] = [];
  if (seq === undefined) return taken;
  for (let wanted = nv.has('memsync') ? 2 : 1; wanted > 0; wanted--) {
    const at = replies.findIndex((reply) => reply.nv.big('seq', 'uint64') === seq);
    if (at >= 0) taken.push(...replies.splice(at, 1));
  }
  return taken;
}
