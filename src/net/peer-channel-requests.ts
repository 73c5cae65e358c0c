/** Requests of both directions: ours that wait for a reply, the peer's that wait for our handler. */
import { HastateError, NetError, describeError } from '../model/errors.ts';
import type { PeerMethod, PeerReply, PeerRequest } from '../protocol/peer-message.ts';
import type { PeerConnection } from './peer-channel-connection.ts';
import type { PeerRequestHandler } from './peer-channel-types.ts';

/** Ours that wait, and the peer's that run, at the same time. */
const REQUEST_LIMIT = 64;

interface Pending {
  readonly connection: PeerConnection;
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

  setHandler(handler: PeerRequestHandler): void {
    this.#handler = handler;
  }

  send(
    connection: PeerConnection,
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
      this.#pending.set(id, { connection, method, timer, resolve, reject });
      try {
        connection.send({ type: 'request', id, method, params });
      } catch (cause) {
        const text = `\`${method}\` cannot be sent to the peer: ${describeError(cause)}`;
        this.#settle(id)?.reject(new NetError('peer-not-connected', text, { cause }));
      }
    });
  }

  reply(connection: PeerConnection, reply: PeerReply): void {
    if (this.#pending.get(reply.id)?.connection !== connection) return;
    const pending = this.#settle(reply.id);
    if (reply.ok) {
      pending?.resolve(reply.result);
      return;
    }
    const text = `the peer refused \`${pending?.method ?? ''}\`: ${reply.error.message}`;
    const cause = new NetError(reply.error.code, reply.error.message);
    pending?.reject(new NetError('peer-refused', text, { cause }));
  }

  /** What waits for a reply on this connection will get none. */
  lost(connection: PeerConnection, reason: string): void {
    for (const [id, pending] of this.#pending) {
      if (pending.connection !== connection) continue;
      const text = `the connection was lost before the peer answered \`${pending.method}\` (${reason}); whether it was done is unknown`;
      this.#settle(id)?.reject(new NetError('peer-lost', text));
    }
  }

  /** Runs the handler and answers. Never rejects. */
  async answer(connection: PeerConnection, request: PeerRequest): Promise<void> {
    const { id } = request;
    if (this.#handler === null || this.#running >= REQUEST_LIMIT) {
      const busy = this.#handler !== null;
      const code = busy ? 'peer-busy' : 'peer-not-ready';
      const message = busy ? 'too many requests run already' : 'this node does not take requests yet';
      connection.send({ type: 'reply', id, ok: false, error: { code, message } });
      return;
    }
    this.#running += 1;
    try {
      const result = await this.#handler(request.method, request.params);
      connection.send({ type: 'reply', id, ok: true, result: result ?? null });
    } catch (error) {
      const code = error instanceof HastateError ? error.code : 'failed';
      connection.send({
        type: 'reply',
        id,
        ok: false,
        error: { code, message: describeError(error).slice(0, 4096) },
      });
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
