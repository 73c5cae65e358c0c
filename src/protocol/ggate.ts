/**
 * FreeBSD's ggate network protocol, as ggatec and ggated speak it: two connections, on each of which the
 * client says version and wishes, then requests on one and answers on the other. All numbers are big-endian.
 * @see hast.md section 11
 */
import { WireError } from '../model/errors.ts';

const MAGIC = Buffer.from('GEOM_GATE       ', 'latin1');
const PATH_BYTES = 1025;

export const GGATE_VERSION = 0;
export const GGATE_VERSION_BYTES = 20;
export const GGATE_CLIENT_INIT_BYTES = 1039;
export const GGATE_SERVER_INIT_BYTES = 15;
export const GGATE_HEADER_BYTES = 23;
/** What ggatec's buffer holds. */
export const GGATE_MAX_BYTES = 128 * 1024;

export const GgateFlag = {
  READ_ONLY: 1,
  WRITE_ONLY: 2,
  /** On this connection the server sends answers. Opened first. */
  SEND: 4,
  /** On this connection the server receives requests. */
  RECV: 8,
} as const;

export const GgateCommand = { READ: 0, WRITE: 1 } as const;

export interface GgateVersion {
  readonly version: number;
  /** A FreeBSD errno, 0 for none; so everywhere here. */
  readonly error: number;
}

export interface GgateClientInit {
  /** Compared as it is with the path of the export. */
  readonly path: string;
  readonly flags: number;
  /** Connections of this client. */
  readonly connections: number;
  /** The same on both. */
  readonly token: number;
}

export interface GgateServerInit {
  /** Bytes; above 2^53 inexact, which no disk reaches. */
  readonly mediaBytes: number;
  readonly sectorBytes: number;
  readonly error: number;
}

/** Request, and answer to it. The sequence number is kept in halves: a bigint for each request costs too much. */
export interface GgateHeader {
  readonly command: number;
  /** Bytes; above 2^53 inexact. */
  readonly offset: number;
  readonly length: number;
  readonly seqHigh: number;
  readonly seqLow: number;
  readonly error: number;
}

export function encodeGgateVersion({ version, error }: GgateVersion): Buffer {
  const bytes = Buffer.alloc(GGATE_VERSION_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt16BE(version, 16);
  bytes.writeUInt16BE(error, 18);
  return bytes;
}

/** @throws WireError `ggate-truncated`, `ggate-magic` */
export function decodeGgateVersion(bytes: Buffer): GgateVersion {
  need(bytes, GGATE_VERSION_BYTES, 'version');
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw new WireError('ggate-magic', 0, 'version.magic', 'no ggate peer: it does not begin with GEOM_GATE');
  return { version: bytes.readUInt16BE(16), error: bytes.readUInt16BE(18) };
}

/** @throws WireError `ggate-path` for a path that does not fit */
export function encodeGgateClientInit({ path, flags, connections, token }: GgateClientInit): Buffer {
  const bytes = Buffer.alloc(GGATE_CLIENT_INIT_BYTES);
  const text = Buffer.from(path, 'utf8');
  if (text.length >= PATH_BYTES || text.includes(0)) throw badPath(`${text.length} bytes`);
  text.copy(bytes);
  bytes.writeBigUInt64BE(BigInt(flags), PATH_BYTES);
  bytes.writeUInt16BE(connections, PATH_BYTES + 8);
  bytes.writeUInt32BE(token, PATH_BYTES + 10);
  return bytes;
}

/** @throws WireError `ggate-truncated`, `ggate-path` for one without an end */
export function decodeGgateClientInit(bytes: Buffer): GgateClientInit {
  need(bytes, GGATE_CLIENT_INIT_BYTES, 'client-init');
  // What stands behind the zero byte is left over from something else.
  const end = bytes.subarray(0, PATH_BYTES).indexOf(0);
  if (end < 0) throw badPath('no end');
  return {
    path: bytes.toString('utf8', 0, end),
    flags: readSize(bytes, PATH_BYTES),
    connections: bytes.readUInt16BE(PATH_BYTES + 8),
    token: bytes.readUInt32BE(PATH_BYTES + 10),
  };
}

export function encodeGgateServerInit({ mediaBytes, sectorBytes, error }: GgateServerInit): Buffer {
  const bytes = Buffer.alloc(GGATE_SERVER_INIT_BYTES);
  bytes.writeBigUInt64BE(BigInt(mediaBytes), 1);
  bytes.writeUInt32BE(sectorBytes, 9);
  bytes.writeUInt16BE(error, 13);
  return bytes;
}

/** The flags, which ggated leaves unset, are not read. @throws WireError `ggate-truncated` */
export function decodeGgateServerInit(bytes: Buffer): GgateServerInit {
  need(bytes, GGATE_SERVER_INIT_BYTES, 'server-init');
  return {
    mediaBytes: readSize(bytes, 1),
    sectorBytes: bytes.readUInt32BE(9),
    error: bytes.readUInt16BE(13),
  };
}

export function encodeGgateHeader(header: GgateHeader): Buffer {
  const bytes = Buffer.allocUnsafe(GGATE_HEADER_BYTES);
  bytes[0] = header.command;
  bytes.writeUInt32BE(Math.floor(header.offset / 0x1_0000_0000), 1);
  bytes.writeUInt32BE(header.offset % 0x1_0000_0000, 5);
  bytes.writeUInt32BE(header.length, 9);
  bytes.writeUInt32BE(header.seqHigh, 13);
  bytes.writeUInt32BE(header.seqLow, 17);
  bytes.writeUInt16BE(header.error, 21);
  return bytes;
}

/** @throws WireError `ggate-truncated` */
export function decodeGgateHeader(bytes: Buffer, at = 0): GgateHeader {
  need(bytes, at + GGATE_HEADER_BYTES, 'header');
  return {
    command: bytes.readUInt8(at),
    offset: readSize(bytes, at + 1),
    length: bytes.readUInt32BE(at + 9),
    seqHigh: bytes.readUInt32BE(at + 13),
    seqLow: bytes.readUInt32BE(at + 17),
    error: bytes.readUInt16BE(at + 21),
  };
}

function readSize(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}

function need(bytes: Buffer, length: number, field: string): void {
  if (bytes.length >= length) return;
  throw new WireError(
    'ggate-truncated',
    bytes.length,
    field,
    `ggate ${field} needs ${length} bytes, only ${bytes.length} are there`,
  );
}

function badPath(why: string): WireError {
  return new WireError('ggate-path', 0, 'path', `ggate path does not fit into ${PATH_BYTES} bytes: ${why}`);
}
