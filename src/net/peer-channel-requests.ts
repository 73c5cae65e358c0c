/**
 * Requests of both directions: ours that wait for a reply, the peer's that wait for our handler. They travel on every
 * connection, so that a network that just fails costs no time; each is run once.
 */
import { HastateError, NetError, describeError } from '../model/errors.ts';
import type { PeerMethod, PeerReply, PeerRequest } from '../protocol/peer-message.ts';
import type { PeerConnection } from './peer-channel-connection.ts';
import type { PeerRequestHandler } from './peer-channel-types.ts';

/** Ours that wait, and the peer's that run, at the same time. */
const REQUEST_LIMIT = 64;
/** Requests of the peer whose second arrival is recognized. */
const ANSWERS_KEPT = 4 * REQUEST_LIMIT;

interface Pending {
  /** Where the reply may come from. */
  readonly connections: Set<PeerConnection>;
  readonly method: PeerMethod;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: NetError) => void;
}

export class PeerRequests {
  readonly #pending = new Map<number, Pending>();
  #handler: PeerRequestHandler | null = null;
  #nextId = 1;
  #running = 0;
  /** What the peer's requests of this life were answered, by their ids. */
  readonly #answers = new Map<number, Promise<PeerReply>>();

  setHandler(handler: PeerRequestHandler): void {
    this.#handler = handler;
  }

  /** @param connections at least one */
  send(
    connections: readonly PeerConnection[],
    method: PeerMethod,
    params: Readonly<Record<string, unknown>>,
    timeoutMs: number,
  ): Promise<unknown> {
    if (this.#pending.size >= REQUEST_LIMIT) {
      const text = `${REQUEST_LIMIT} requests to the peer wait for an answer already: \`${method}\` was not sent`;
      return Promise.reject(new NetError('peer-busy', text));
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const text = `the peer did not answer \`${method}\` within ${timeoutMs} ms; whether it was done is unknown`;
        this.#settle(id)?.reject(new NetError('peer-timeout', text));
      }, timeoutMs);
      this.#pending.set(id, { connections: new Set(connections), method, timer, resolve, reject });
      try {
        for (const connection of connections) connection.send({ type: 'request', id, method, params });
      } catch (cause) {
        const text = `\`${method}\` cannot be sent to the peer: ${describeError(cause)}`;
        this.#settle(id)?.reject(new NetError('peer-not-connected', text, { cause }));
      }
    });
  }

  reply(connection: PeerConnection, reply: PeerReply): void {
    if (this.#pending.get(reply.id)?.connections.has(connection) !== true) return;
    const pending = this.#settle(reply.id);
    if (reply.ok) {
      pending?.resolve(reply.result);
      return;
    }
    const text = `the peer refused \`${pending?.method ?? ''}\`: ${reply.error.message}`;
    const cause = new NetError(reply.error.code, reply.error.message);
    pending?.reject(new NetError('peer-refused', text, { cause }));
  }

  /** What waits for a reply on this connection alone will get none. */
  lost(connection: PeerConnection, reason: string): void {
    for (const [id, pending] of this.#pending) {
      if (!pending.connections.delete(connection) || pending.connections.size > 0) continue;
      const text = `the connection was lost before the peer answered \`${pending.method}\` (${reason}); whether it was done is unknown`;
      this.#settle(id)?.reject(new NetError('peer-lost', text));
    }
  }

  /** Another life of the peer counts its requests anew. */
  forgetPeer(): void {
    this.#answers.clear();
  }

  /** Runs the handler unless another connection brought the same request, and answers. Never rejects. */
  async answer(connection: PeerConnection, request: PeerRequest): Promise<void> {
    let answer = this.#answers.get(request.id);
    if (answer === undefined) {
      answer = this.#run(request);
      this.#answers.set(request.id, answer);
      const [oldest] = this.#answers.keys();
      if (this.#answers.size > ANSWERS_KEPT && oldest !== undefined) this.#answers.delete(oldest);
    }
    const reply = await answer;
    try {
      connection.send(reply);
    } catch (error) {
      // A result that does not fit into a message.
      const code = 'failed';
      connection.send({ type: 'reply', id: request.id, ok: false, error: { code, message: textOf(error) } });
    }
  }

  async #run({ id, method, params }: PeerRequest): Promise<PeerReply> {
    if (this.#handler === null || this.#running >= REQUEST_LIMIT) {
      const busy = this.#handler !== null;
      const code = busy ? 'peer-busy' : 'peer-not-ready';
      const message = busy ? 'too many requests run already' : 'this node does not take requests yet';
      return { type: 'reply', id, ok: false, error: { code, message } };
    }
    this.#running += 1;
    try {
      const result = await this.#handler(method, params);
      return { type: 'reply', id, ok: true, result: result ?? null };
    } catch (error) {
      const code = error instanceof HastateError ? error.code : 'failed';
      return { type: 'reply', id, ok: false, error: { code, message: textOf(error) } };
    } finally {
      this.#running -= 1;
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }
}

function textOf(error: unknown): string {
  return describeError(error).slice(0, 4096);
}
