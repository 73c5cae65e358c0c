/**
 * What a client has asked for beyond the export: structured replies, and in them base:allocation, the only context
 * that there is. Who did not ask gets neither.
 * @see NBD protocol, "Option types", "The base: metadata namespace"
 */
import { WireError } from '../model/errors.ts';
import {
  BASE_ALLOCATION,
  decodeMetaContextOption,
  encodeMetaContext,
  type MetaContextOption,
} from '../protocol/nbd-meta-context.ts';
import { NbdOption, NbdReply, encodeOptionReply } from '../protocol/nbd-negotiation.ts';

/** What its answers name base:allocation. */
export const ALLOCATION_CONTEXT = 1;
/** Everything of its namespace: may be listed, is nothing to be chosen. */
const WILDCARD = 'base:';

export interface ContextOffer {
  /** The disk tells where it has holes. */
  readonly holes: boolean;
  /** What is wrong with the name of an export, or null. */
  readonly refusal: (exportName: string) => string | null;
}

export class Contexts {
  readonly #offer: ContextOffer;
  #structured = false;
  /** The export that base:allocation was chosen for. */
  #chosenFor: string | null = null;

  constructor(offer: ContextOffer) {
    this.#offer = offer;
  }

  get structured(): boolean {
    return this.#structured;
  }

  /** The client takes this export, by the same name. */
  allocationOf(exportName: string): boolean {
    return this.#chosenFor === exportName;
  }

  /** @returns the answer to NBD_OPT_STRUCTURED_REPLY */
  structure(data: Buffer): Buffer {
    if (data.length > 0) return encodeOptionReply(NbdOption.STRUCTURED_REPLY, NbdReply.ERR_INVALID);
    this.#structured = true;
    return encodeOptionReply(NbdOption.STRUCTURED_REPLY, NbdReply.ACK);
  }

  /** @returns the answer to NBD_OPT_LIST_META_CONTEXT */
  list(data: Buffer): Buffer {
    return this.#answer(NbdOption.LIST_META_CONTEXT, data, ({ queries }) => {
      const asked = queries.length === 0 || queries.includes(WILDCARD) || queries.includes(BASE_ALLOCATION);
      // The number of a context that is only listed means nothing.
      return asked ? 0 : null;
    });
  }

  /** @returns the answer to NBD_OPT_SET_META_CONTEXT. It replaces what was chosen before, also when it fails */
  choose(data: Buffer): Buffer {
    this.#chosenFor = null;
    return this.#answer(NbdOption.SET_META_CONTEXT, data, ({ exportName, queries }) => {
      if (!queries.includes(BASE_ALLOCATION)) return null;
      this.#chosenFor = exportName;
      return ALLOCATION_CONTEXT;
    });
  }

  #answer(option: number, data: Buffer, find: (asked: MetaContextOption) => number | null): Buffer {
    if (!this.#structured) return encodeOptionReply(option, NbdReply.ERR_INVALID);
    let asked: MetaContextOption;
    try {
      asked = decodeMetaContextOption(data);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const tooMany = error.code === 'nbd-query-count';
      return encodeOptionReply(option, tooMany ? NbdReply.ERR_TOO_BIG : NbdReply.ERR_INVALID);
    }
    const refusal = this.#offer.refusal(asked.exportName);
    if (refusal !== null)
      return encodeOptionReply(option, NbdReply.ERR_UNKNOWN, Buffer.from(refusal, 'utf8'));
    const ack = encodeOptionReply(option, NbdReply.ACK);
    const id = this.#offer.holes ? find(asked) : null;
    if (id === null) return ack;
    const context = encodeMetaContext(id, BASE_ALLOCATION);
    return Buffer.concat([encodeOptionReply(option, NbdReply.META_CONTEXT, context), ack]);
  }
}
