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
import type { ConnectionPort } from './ports.ts';
import type { Meeting } from './secondary.ts';

const TOKEN_BYTES = 16;
const HALF_OPEN_MS = 20_000;

interface HalfOpen {
  readonly token: Buffer;
  readonly connection: ConnectionPort;
  readonly reader: FrameReader;
  readonly version: number;
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

  close(reason: string): void {
    this.#half?.cancel();
    this.#half?.connection.close(reason);
    this.#half = null;
  }

  #first(connection: ConnectionPort, reader: FrameReader, nv: NvMap): void {
    if (nv.string('resource') !== this.#core.setup.resource.name) {
      this.#refuse(connection, 'Resource not configured.');
      return;
    }
    const role = this.#role();
    if (role !== 'secondary') {
      this.#refuse(
        connection,
        `Remote node acts as ${role} for the resource and not as secondary.`,
        role === 'primary' ? [{ name: 'wait', type: 'uint8', value: 1 }] : [],
      );
      return;
    }
    const token = nv.bytes('token');
    if (token !== undefined) this.#second(connection, token, nv);
    else this.#hello(connection, reader, nv.number('version', 'uint8') ?? 0);
  }

  #hello(connection: ConnectionPort, reader: FrameReader, offered: number): void {
    this.close('a new connection takes its place');
    const version = Math.min(offered === 0 ? 1 : offered, HAST_VERSION);
    const token = this.#core.ports.random.bytes(TOKEN_BYTES);
    const cancel = this.#core.ports.clock.after(HALF_OPEN_MS, () =>
      this.close('the second connection did not come'),
    );
    const half: HalfOpen = { token, connection, reader, version, cancel };
    this.#half = half;
    connection.onData(() => {
      if (this.#half === half) this.close('a request came before the handshake was over');
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

  #second(connection: ConnectionPort, token: Buffer, request: NvMap): void {
    const half = this.#half;
    if (token.length !== TOKEN_BYTES) {
      connection.close('the token has a wrong length');
      return;
    }
    if (half === null || !half.token.equals(token)) {
      this.#refuse(connection, "Token doesn't match.");
      return;
    }
    half.cancel();
    this.#half = null;
    const { reader, version } = half;
    // Until the session takes over, nothing may arrive.
    half.connection.onData(() => half.connection.close('a request came before the handshake was over'));
    this.#meet({ incoming: half.connection, out: connection, reader, version, request });
  }

  #refuse(connection: ConnectionPort, message: string, extra: readonly NvField[] = []): void {
    connection.send(
      ...encodeFrame(HAST_VERSION, [
        { name: 'errmsg', type: 'string', value: message },
        ...extra,
        ...(this.#core.setup.peerKind === 'hastate' ? epochFields(this.#core.store.record.epoch) : []),
      ]),
    );
    connection.close(message);
  }
}
