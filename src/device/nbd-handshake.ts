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
  type GoOption,
} from '../protocol/nbd-negotiation.ts';

/** No CAN_MULTI_CONN: a flush on one connection says nothing about another's unanswered writes. */
const EXPORT_FLAGS = TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_FLUSH | TransmissionFlag.SEND_FUA;
const PREFERRED_BLOCK_BYTES = 4096;

export interface ExportOffer {
  readonly exportName: string;
  readonly epoch: Epoch;
  readonly sizeBytes: number;
  readonly sectorBytes: number;
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
  #noZeroes: boolean | null = null;

  constructor(offer: ExportOffer) {
    this.#offer = offer;
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
    const answer = encodeExportNameAnswer(this.#offer.sizeBytes, EXPORT_FLAGS, this.#noZeroes === true);
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
      encodeExportInfo(sizeBytes, EXPORT_FLAGS),
      encodeBlockSizeInfo(sectorBytes, preferred, MAX_PAYLOAD_BYTES),
    ].map((info) => encodeOptionReply(option, NbdReply.INFO, info));
    if (go.infos.includes(NbdInfo.NAME)) {
      const name = Buffer.from(`\0${String.fromCharCode(NbdInfo.NAME)}${this.#offer.exportName}`, 'utf8');
      infos.push(encodeOptionReply(option, NbdReply.INFO, name));
    }
    infos.push(encodeOptionReply(option, NbdReply.ACK));
    return { answer: Buffer.concat(infos), next: option === NbdOption.GO ? 'transmission' : 'option' };
  }

  #list(data: Buffer): Buffer {
    if (data.length !== 0) return encodeOptionReply(NbdOption.LIST, NbdReply.ERR_INVALID);
    return Buffer.concat([
      encodeOptionReply(NbdOption.LIST, NbdReply.SERVER, encodeServerName(this.#offer.exportName)),
      encodeOptionReply(NbdOption.LIST, NbdReply.ACK),
    ]);
  }

  #serves(name: string): boolean {
    const { exportName, epoch } = this.#offer;
    return name === '' || name === exportName || name === epochExportName(exportName, epoch);
  }
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
