/**
 * The server's side of the NBD handshake, one step per option. No I/O: bytes in, an answer out.
 */
import type { Epoch } from '../model/record.ts';
import { WireError } from '../model/errors.ts';
import { MAX_PAYLOAD_BYTES, TransmissionFlag } from '../protocol/nbd.ts';
import {
  CLIENT_FLAGS_BYTES,
  NbdInfo,
  NbdOption,
  NbdReply,
  OPTION_HEADER_BYTES,
  decodeClientFlags,
  decodeGoOption,
  decodeOptionHeader,
  encodeBlockSizeInfo,
  encodeExportInfo,
  encodeExportNameAnswer,
  encodeOptionReply,
  encodeServerName,
  encodeTextInfo,
  type GoOption,
} from '../protocol/nbd-negotiation.ts';
import { Contexts } from './nbd-contexts.ts';

/**
 * CAN_MULTI_CONN: all connections share one device, whose flush covers every write that was answered before it
 * on any of them, and nothing is cached for one of them.
 */
const EXPORT_FLAGS =
  TransmissionFlag.HAS_FLAGS |
  TransmissionFlag.SEND_FLUSH |
  TransmissionFlag.SEND_FUA |
  TransmissionFlag.SEND_WRITE_ZEROES |
  TransmissionFlag.SEND_FAST_ZERO |
  TransmissionFlag.CAN_MULTI_CONN;
const PREFERRED_BLOCK_BYTES = 4096;

export interface ExportOffer {
  readonly exportName: string;
  readonly epoch: Epoch;
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  /** Whether TRIM gives space back. */
  readonly discards: boolean;
  /** The disk tells where it has holes. */
  readonly holes: boolean;
}

/** What holds in the transmission phase. */
export interface Agreed {
  /** Replies with data or an error are structured. */
  readonly structured: boolean;
  /** BLOCK_STATUS may be asked. */
  readonly allocation: boolean;
}

export interface HandshakeStep {
  readonly consumed: number;
  readonly answer: Buffer | null;
  readonly next: 'option' | 'transmission' | 'end';
}

/** The name by which only clients of this epoch are served. @see SAFETY D3 */
export function epochExportName(exportName: string, epoch: Epoch): string {
  return `${exportName}@${epoch.number}-${epoch.id}`;
}

export class NbdHandshake {
  readonly #offer: ExportOffer;
  readonly #contexts: Contexts;
  #noZeroes: boolean | null = null;
  #agreed: Agreed = { structured: false, allocation: false };

  constructor(offer: ExportOffer) {
    this.#offer = offer;
    this.#contexts = new Contexts({
      holes: offer.holes,
      refusal: (name) => (this.#serves(name) ? null : refusalText(name, offer)),
    });
  }

  /** Final when the transmission phase begins. */
  get agreed(): Agreed {
    return this.#agreed;
  }

  /**
   * Takes the next thing from the front of `bytes`; null when it is not complete yet.
   * @throws WireError when the client must be closed without an answer
   */
  step(bytes: Buffer): HandshakeStep | null {
    if (this.#noZeroes === null) {
      if (bytes.length < CLIENT_FLAGS_BYTES) return null;
      this.#noZeroes = decodeClientFlags(bytes).noZeroes;
      return { consumed: CLIENT_FLAGS_BYTES, answer: null, next: 'option' };
    }
    if (bytes.length < OPTION_HEADER_BYTES) return null;
    const { option, length } = decodeOptionHeader(bytes);
    const consumed = OPTION_HEADER_BYTES + length;
    if (bytes.length < consumed) return null;
    return { consumed, ...this.#answer(option, bytes.subarray(OPTION_HEADER_BYTES, consumed)) };
  }

  #answer(option: number, data: Buffer): Omit<HandshakeStep, 'consumed'> {
    switch (option) {
      case NbdOption.EXPORT_NAME:
        return this.#exportName(data.toString('utf8'));
      case NbdOption.INFO:
      case NbdOption.GO:
        return this.#go(option, data);
      case NbdOption.LIST:
        return { answer: this.#list(data), next: 'option' };
      case NbdOption.STRUCTURED_REPLY:
        return { answer: this.#contexts.structure(data), next: 'option' };
      case NbdOption.LIST_META_CONTEXT:
        return { answer: this.#contexts.list(data), next: 'option' };
      case NbdOption.SET_META_CONTEXT:
        return { answer: this.#contexts.choose(data), next: 'option' };
      case NbdOption.ABORT:
        return { answer: encodeOptionReply(option, NbdReply.ACK), next: 'end' };
      default:
        return { answer: encodeOptionReply(option, NbdReply.ERR_UNSUP), next: 'option' };
    }
  }

  #exportName(name: string): Omit<HandshakeStep, 'consumed'> {
    // This option has no way to say no: the protocol wants the connection closed.
    if (!this.#serves(name)) {
      throw new WireError('nbd-export-unknown', 0, 'export-name', refusalText(name, this.#offer));
    }
    const answer = encodeExportNameAnswer(this.#offer.sizeBytes, this.#flags(), this.#noZeroes === true);
    this.#agree(name);
    return { answer, next: 'transmission' };
  }

  #go(option: number, data: Buffer): Omit<HandshakeStep, 'consumed'> {
    const go = parseGo(data);
    if (go === null) return { answer: encodeOptionReply(option, NbdReply.ERR_INVALID), next: 'option' };
    const { sizeBytes, sectorBytes } = this.#offer;
    if (!this.#serves(go.name)) {
      const why = Buffer.from(refusalText(go.name, this.#offer), 'utf8');
      return { answer: encodeOptionReply(option, NbdReply.ERR_UNKNOWN, why), next: 'option' };
    }
    const preferred = Math.max(sectorBytes, PREFERRED_BLOCK_BYTES);
    const infos = [
      encodeExportInfo(sizeBytes, this.#flags()),
      encodeBlockSizeInfo(sectorBytes, preferred, MAX_PAYLOAD_BYTES),
    ].map((info) => encodeOptionReply(option, NbdReply.INFO, info));
    const texts = [
      [NbdInfo.NAME, this.#offer.exportName],
      [NbdInfo.DESCRIPTION, describe(this.#offer)],
    ] as const;
    for (const [type, text] of texts) {
      if (go.infos.includes(type))
        infos.push(encodeOptionReply(option, NbdReply.INFO, encodeTextInfo(type, text)));
    }
    infos.push(encodeOptionReply(option, NbdReply.ACK));
    const answer = Buffer.concat(infos);
    if (option !== NbdOption.GO) return { answer, next: 'option' };
    this.#agree(go.name);
    return { answer, next: 'transmission' };
  }

  #agree(name: string): void {
    const { structured } = this.#contexts;
    this.#agreed = { structured, allocation: structured && this.#contexts.allocationOf(name) };
  }

  #list(data: Buffer): Buffer {
    if (data.length !== 0) return encodeOptionReply(NbdOption.LIST, NbdReply.ERR_INVALID);
    return Buffer.concat([
      encodeOptionReply(
        NbdOption.LIST,
        NbdReply.SERVER,
        encodeServerName(this.#offer.exportName, describe(this.#offer)),
      ),
      encodeOptionReply(NbdOption.LIST, NbdReply.ACK),
    ]);
  }

  #flags(): number {
    return (
      EXPORT_FLAGS |
      (this.#offer.discards ? TransmissionFlag.SEND_TRIM : 0) |
      (this.#contexts.structured ? TransmissionFlag.SEND_DF : 0)
    );
  }

  #serves(name: string): boolean {
    const { exportName, epoch } = this.#offer;
    return name === '' || name === exportName || name === epochExportName(exportName, epoch);
  }
}

function describe({ exportName, epoch }: ExportOffer): string {
  return `hastate resource ${exportName}, primary in epoch ${epoch.number}`;
}

function parseGo(data: Buffer): GoOption | null {
  try {
    return decodeGoOption(data);
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

function refusalText(name: string, offer: ExportOffer): string {
  const wanted = JSON.stringify(name.slice(0, 200));
  return `no export ${wanted} here: this is ${epochExportName(offer.exportName, offer.epoch)}`;
}
