/**
 * As much of TLS as it takes to know whom a client means before TLS begins, and to tell it no.
 * @see RFC 8446 4.1.2, 4.2.11, 5.1, 6
 */
import { Buffer } from 'node:buffer';
import { WireError } from '../model/errors.ts';

/** The first byte of a client that opens TLS. No version of HAST has this number. */
export const TLS_HANDSHAKE = 0x16;
const TLS_ALERT = 0x15;
const CLIENT_HELLO = 1;
const ALPN = 16;
const PRE_SHARED_KEY = 41;
const HEADER_BYTES = 5;
/** OpenSSL's has some 300. */
const MAX_HELLO_BYTES = 8192;

/** What we say with an alert, beyond what TLS says by itself. */
export const ALERT = {
  /** Not with what this node has. */
  handshakeFailure: 40,
  /** Not without a key. */
  missingExtension: 109,
  /** Not without a certificate. */
  certificateRequired: 116,
  /** Not from this address. */
  accessDenied: 49,
  /** No such resource, or not between these nodes. */
  unknownIdentity: 115,
} as const;

/** A record that ends the handshake. */
export function fatalAlert(description: number): Buffer {
  return Buffer.from([TLS_ALERT, 3, 3, 0, 2, 2, description]);
}

/** How a client says for what it comes. */
export interface ClientNames {
  /** The first PSK identity; null: it has no key. */
  readonly identity: string | null;
  /** The first protocol of ALPN. */
  readonly protocol: string | null;
}

/**
 * What a ClientHello names.
 * @param bytes what has arrived so far
 * @returns undefined while it is not whole
 * @throws WireError `tls-hello`
 */
export function clientNamesOf(bytes: Buffer): ClientNames | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const length = bytes.readUInt16BE(3);
  if (bytes[0] !== TLS_HANDSHAKE || bytes[1] !== 3 || length > MAX_HELLO_BYTES)
    throw refusal(0, 'the first record is no ClientHello that could be ours');
  if (bytes.length < HEADER_BYTES + length) return undefined;
  const record = new Cursor(bytes.subarray(HEADER_BYTES, HEADER_BYTES + length));
  if (record.number(1) !== CLIENT_HELLO) throw refusal(HEADER_BYTES, 'the first message is no ClientHello');
  const hello = new Cursor(record.vector(3));
  // Version and random.
  hello.take(2 + 32);
  hello.vector(1);
  hello.vector(2);
  hello.vector(1);
  const names = { identity: null as string | null, protocol: null as string | null };
  if (hello.atEnd) return names;
  const extensions = new Cursor(hello.vector(2));
  while (!extensions.atEnd) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (type === PRE_SHARED_KEY)
      names.identity = new Cursor(new Cursor(content).vector(2)).vector(2).toString('latin1');
    if (type === ALPN)
      names.protocol = new Cursor(new Cursor(content).vector(2)).vector(1).toString('latin1');
  }
  return names;
}

class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw refusal(this.#at, 'a length is beyond the end');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  number(bytes: number): number {
    return this.take(bytes).readUIntBE(0, bytes);
  }

  /** With its length before it, in so many bytes. */
  vector(lengthBytes: number): Buffer {
    return this.take(this.number(lengthBytes));
  }
}

function refusal(at: number, message: string): WireError {
  return new WireError('tls-hello', at, 'ClientHello', message);
}
