/**
 * First words of accepted connections: a hello gets a token, the second connection brings it back.
 * @see hast.md section 5
 */
import type { Buffer } from 'node:buffer';
import { describeError } from '../model/errors.ts';
import type { HastRole } from '../model/roles.ts';
import { encodeFrame, FrameReader, HAST_VERSION } from '../protocol/hast-message.ts';
import type { NvField, NvMap } from '../protocol/nv.ts';
import type { EngineCore } from './core.ts';
import { epochFields } from './heartbeat.ts';
import { LINK_LIMITS } from './link.ts';
import { expectsProof, nonceOf, proven, tellRefusal, UNPROVEN } from './peer-proof.ts';
import type { ConnectionPort } from './ports.ts';
import type { Meeting } from './secondary.ts';

const TOKEN_BYTES = 16;
const HALF_OPEN_MS = 20_000;

interface HalfOpen {
  readonly token: Buffer;
  readonly connection: ConnectionPort;
  readonly reader: FrameReader;
  readonly version: number;
  /** What the primary chose for proofs; null when it offers none. */
  readonly nonce: Buffer | null;
  readonly cancel: () => void;
}

export class Acceptor {
  readonly #core: EngineCore;
  readonly #role: () => HastRole;
  readonly #meet: (meeting: Meeting) => void;
  #half: HalfOpen | null = null;

  constructor(core: EngineCore, role: () => HastRole, meet: (meeting: Meeting) => void) {
    this.#core = core;
    this.#role = role;
    this.#meet = meet;
  }

  /** @param head what was read so far, in which the first frame is whole */
  adopt(connection: ConnectionPort, head: Buffer): void {
    const reader = new FrameReader(LINK_LIMITS);
    try {
      const [frame, ...more] = reader.push(head);
      if (frame === undefined || more.length > 0) connection.close('the first message is not a handshake');
      else this.#first(connection, reader, frame.nv);
    } catch (error) {
      connection.close(`the first message cannot be read: ${describeError(error)}`);
    }
  }

  /** One that is not even listened to. @param connection null when nothing can be said on it */
  turnAway(connection: ConnectionPort | null, why: string): void {
    tellRefusal(this.#core, why);
    if (connection !== null) this.#refuse(connection, why, null);
  }

  close(reason: string): void {
    this.#half?.cancel();
    this.#half?.connection.close(reason);
    this.#half = null;
  }

  #first(connection: ConnectionPort, reader: FrameReader, nv: NvMap): void {
    if (nv.string('resource') !== this.#core.setup.resource.name) {
      this.#refuse(connection, 'Resource not configured.', null);
      return;
    }
    const role = this.#role();
    if (role !== 'secondary') {
      this.#refuse(
        connection,
        `Remote node acts as ${role} for the resource and not as secondary.`,
        nonceOf(nv),
        role === 'primary' ? [{ name: 'wait', type: 'uint8', value: 1 }] : [],
      );
      return;
    }
    const token = nv.bytes('token');
    if (token !== undefined) this.#second(connection, token, nv);
    else this.#hello(connection, reader, nv);
  }

  #hello(connection: ConnectionPort, reader: FrameReader, nv: NvMap): void {
    const nonce = nonceOf(nv);
    if (expectsProof(this.#core) && nonce === null) {
      const { remoteAddress } = connection;
      tellRefusal(this.#core, `the primary at ${remoteAddress} was refused: ${UNPROVEN}`);
      this.#refuse(connection, UNPROVEN, null);
      return;
    }
    const offered = nv.number('version', 'uint8') ?? 0;
    this.close('a new connection takes its place');
    const version = Math.min(offered === 0 ? 1 : offered, HAST_VERSION);
    const token = this.#core.ports.random.bytes(TOKEN_BYTES);
    const cancel = this.#core.ports.clock.after(HALF_OPEN_MS, () =>
      this.close('the second connection did not come'),
    );
    const half: HalfOpen = { token, connection, reader, version, nonce, cancel };
    this.#half = half;
    connection.onData((chunk) => {
      if (this.#half === half) this.#interrupted(half, chunk);
    });
    connection.onClose(() => {
      if (this.#half !== half) return;
      cancel();
      this.#half = null;
    });
    connection.send(
      ...encodeFrame(version, [
        { name: 'version', type: 'uint8', value: version },
        { name: 'token', type: 'bytes', value: token },
      ]),
    );
  }

  /** Only a primary that goes away again says something here, and why. */
  #interrupted({ reader }: HalfOpen, chunk: Buffer): void {
    let why: string | undefined;
    try {
      why = reader
        .push(chunk)
        .map(({ nv }) => nv.string('refused'))
        .find((text) => text !== undefined);
    } catch {
      // It is closed in either case.
    }
    if (why !== undefined) tellRefusal(this.#core, `the primary refused this node: ${why}`);
    this.close('a request came before the handshake was over');
  }

  #second(connection: ConnectionPort, token: Buffer, request: NvMap): void {
    const half = this.#half;
    if (token.length !== TOKEN_BYTES) {
      connection.close('the token has a wrong length');
      return;
    }
    if (half === null || !half.token.equals(token)) {
      this.#refuse(connection, "Token doesn't match.", null);
      return;
    }
    half.cancel();
    this.#half = null;
    const { reader, version, nonce } = half;
    // Until the session takes over, nothing may arrive.
    half.connection.onData(() => half.connection.close('a request came before the handshake was over'));
    this.#meet({
      ...{ incoming: half.connection, out: connection, reader, version, request },
      ...{ nonce, token: half.token },
    });
  }

  #refuse(
    connection: ConnectionPort,
    message: string,
    nonce: Buffer | null,
    extra: readonly NvField[] = [],
  ): void {
    const { setup, store } = this.#core;
    const fields: NvField[] = [
      { name: 'errmsg', type: 'string', value: message },
      ...extra,
      ...(setup.peerKind === 'hastate' ? epochFields(store.record.epoch) : []),
    ];
    connection.send(
      ...encodeFrame(HAST_VERSION, proven(this.#core, { sender: 'secondary', nonce, token: null }, fields)),
    );
    connection.close(message);
  }
}
