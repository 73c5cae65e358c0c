/** What a new connection of the data link says first: a frame of HAST, or TLS and the name of a key. */
import { FrameReader } from '../../protocol/hast-message.ts';
import { pskIdentityOf, TLS_HANDSHAKE } from '../../protocol/tls-record.ts';

/** No first frame carries data. */
const FIRST_FRAME_LIMITS = { maxNvBytes: 4096, maxDataBytes: 0 };

export type FirstWords =
  | { readonly kind: 'plain'; readonly resource: string | undefined }
  /** `way` as nameOfWay(); null when it has no key at all. */
  | { readonly kind: 'tls'; readonly way: string | null };

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
      return frame === undefined ? null : { kind: 'plain', resource: frame.nv.string('resource') };
    }
    const identity = pskIdentityOf(this.head);
    if (identity === undefined) return null;
    return { kind: 'tls', way: identity === null ? null : identity.slice(0, identity.lastIndexOf(' ')) };
  }
}
