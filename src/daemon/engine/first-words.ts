/** What a new connection of the data link says first: a frame of HAST, or TLS and the name of a key or a protocol. */
import { FrameReader } from '../../protocol/hast-message.ts';
import { clientNamesOf, TLS_HANDSHAKE } from '../../protocol/tls-record.ts';

/** No first frame carries data. */
const FIRST_FRAME_LIMITS = { maxNvBytes: 4096, maxDataBytes: 0 };

export type FirstWords =
  /** `errmsg`: it came to say no, and why. */
  | { readonly kind: 'plain'; readonly resource: string | undefined; readonly errmsg: string | undefined }
  /** `way` as nameOfWay(); null when it names none. */
  | { readonly kind: 'tls'; readonly by: 'key' | 'certificate'; readonly way: string | null };

export class FirstWordsReader {
  readonly #frames = new FrameReader(FIRST_FRAME_LIMITS);
  readonly #chunks: Buffer[] = [];

  /** All that was read. */
  get head(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** @returns null while there is not enough. @throws WireError */
  push(chunk: Buffer): FirstWords | null {
    this.#chunks.push(chunk);
    if (this.#chunks[0]?.[0] !== TLS_HANDSHAKE) {
      const [frame] = this.#frames.push(chunk);
      if (frame === undefined) return null;
      return { kind: 'plain', resource: frame.nv.string('resource'), errmsg: frame.nv.string('errmsg') };
    }
    const names = clientNamesOf(this.head);
    if (names === undefined) return null;
    const { identity, protocol } = names;
    if (identity === null) return { kind: 'tls', by: 'certificate', way: protocol };
    return { kind: 'tls', by: 'key', way: identity.slice(0, identity.lastIndexOf(' ')) };
  }
}
