/** The server's side of ggate's handshake on one connection. No I/O: bytes in, an answer out. */
import type { Epoch } from '../model/record.ts';
import { errnoToWire } from '../protocol/hast-errno.ts';
import {
  GGATE_CLIENT_INIT_BYTES,
  GGATE_VERSION,
  GGATE_VERSION_BYTES,
  GgateFlag,
  decodeGgateClientInit,
  decodeGgateVersion,
  encodeGgateServerInit,
  encodeGgateVersion,
  type GgateClientInit,
} from '../protocol/ggate.ts';
import { epochExportName } from './nbd-handshake.ts';

export interface GgateOffer {
  readonly exportName: string;
  readonly epoch: Epoch;
  readonly sizeBytes: number;
  readonly sectorBytes: number;
}

export interface GgateStep {
  readonly consumed: number;
  readonly answer: Buffer;
  /** Null: go on. */
  readonly outcome: { readonly client: GgateClientInit } | { readonly refusal: string } | null;
}

export class GgateHandshake {
  readonly #offer: GgateOffer;
  #greeted = false;

  constructor(offer: GgateOffer) {
    this.#offer = offer;
  }

  /**
   * Takes the next thing from the front of `bytes`; null when it is not complete yet.
   * @throws WireError when the client must be closed without an answer
   */
  step(bytes: Buffer): GgateStep | null {
    if (!this.#greeted) {
      if (bytes.length < GGATE_VERSION_BYTES) return null;
      const { version } = decodeGgateVersion(bytes);
      this.#greeted = true;
      const known = version === GGATE_VERSION;
      return {
        consumed: GGATE_VERSION_BYTES,
        answer: encodeGgateVersion({ version: GGATE_VERSION, error: known ? 0 : errnoToWire('EOPNOTSUPP') }),
        outcome: known ? null : { refusal: `ggate version ${version} is not known here` },
      };
    }
    if (bytes.length < GGATE_CLIENT_INIT_BYTES) return null;
    const client = decodeGgateClientInit(bytes);
    const refusal = this.#refusal(client);
    const { sizeBytes, sectorBytes } = this.#offer;
    return {
      consumed: GGATE_CLIENT_INIT_BYTES,
      answer: encodeGgateServerInit({
        mediaBytes: sizeBytes,
        sectorBytes,
        error: refusal === null ? 0 : errnoToWire(refusal.error),
      }),
      outcome: refusal === null ? { client } : { refusal: refusal.text },
    };
  }

  #refusal({ path, flags, connections }: GgateClientInit): { error: string; text: string } | null {
    const { exportName, epoch } = this.#offer;
    const ours = epochExportName(exportName, epoch);
    const shown = JSON.stringify(path.slice(0, 200));
    if (path !== ours) {
      // ggatec asks again for ever, so the name without an epoch, which would outlive this one, is not served.
      const error = path.startsWith(`${exportName}@`) ? 'ESTALE' : 'ENOENT';
      return { error, text: `no export ${shown} here: this is ${ours}` };
    }
    const direction = flags & (GgateFlag.SEND | GgateFlag.RECV);
    const both = GgateFlag.READ_ONLY | GgateFlag.WRITE_ONLY;
    const known = both | GgateFlag.SEND | GgateFlag.RECV;
    const wrong =
      (direction !== GgateFlag.SEND && direction !== GgateFlag.RECV) ||
      (flags & both) === both ||
      flags > known ||
      connections !== 2;
    return wrong
      ? { error: 'EINVAL', text: `flags ${flags} with ${connections} connections make no client` }
      : null;
  }
}
