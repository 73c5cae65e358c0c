/**
 * The 4096-byte metadata block in front of a local component, and its copy in the state directory.
 * Copy A at 0 is hastd's nv list with our fields behind hastd's nine; hastd rewrites the block
 * without them. Copy B at 2048 is the same list under a length and a CRC, so that a torn write shows.
 * @see hast.md section 2
 */
import { WireError } from '../model/errors.ts';
import type { DiskState, ResourceRecord } from '../model/record.ts';
import type { HastRole } from '../model/roles.ts';
import { crc } from './checksum.ts';
import { METADATA_BYTES } from './hast-layout.ts';
import { decodeNv, encodeNv } from './nv.ts';
import type { NvField, NvMap } from './nv.ts';

export { activemapBytes, layout, mapBit, METADATA_BYTES } from './hast-layout.ts';

const COPY_B_AT = 2048;
const MAGIC = Buffer.from('hastate1');
const ENVELOPE_BYTES = MAGIC.length + 8;
const ROLES: readonly HastRole[] = ['init', 'primary', 'secondary'];
const STATES: readonly DiskState[] = ['virgin', 'clean', 'outdated', 'inconsistent'];

/** hastd's nine fields. Sizes in bytes; `offset` is where user data starts ("localoff"). */
export interface HastMetadata {
  readonly resource: string;
  readonly datasize: number;
  readonly extentsize: number;
  readonly keepdirty: number;
  readonly offset: number;
  readonly resuid: bigint;
  readonly localcnt: bigint;
  readonly remotecnt: bigint;
  readonly prevrole: HastRole;
}

/** What hastate adds. */
export interface OwnMetadata {
  readonly record: ResourceRecord;
  /** Counts metadata writes: the higher one is the newer one. */
  readonly sequence: bigint;
  /** SAFETY E2: 16 hex digits that are mirrored in the map region's slack; absent where there is no slack. */
  readonly canary?: string;
  /** The map on the disk says nothing: every extent may differ. */
  readonly givenUp?: true;
}

export interface DecodedMetadata {
  readonly meta: HastMetadata;
  /** Null when hastd wrote last, or ours is damaged. */
  readonly own: OwnMetadata | null;
  readonly source: 'A' | 'B' | 'third';
  /** `unknown`: nothing is known of what was written since. */
  readonly freshness: 'recorded' | 'unknown';
}

export interface MetadataCopy {
  readonly meta: HastMetadata;
  readonly own: OwnMetadata;
}

/**
 * @param own null writes what hastd would
 * @throws WireError `metadata-too-long`
 */
export function encodeMetadataBlock(meta: HastMetadata, own: OwnMetadata | null): Buffer {
  const block = Buffer.alloc(METADATA_BYTES);
  const nv = own === null ? encodeNv(hastdFields(meta)) : encodeOwn(meta, own);
  // A zero type byte must follow copy A.
  if (nv.length >= COPY_B_AT - ENVELOPE_BYTES) {
    throw new WireError(
      'metadata-too-long',
      0,
      'resource',
      `metadata of ${meta.resource} needs ${nv.length} bytes, more than fit; use shorter names`,
    );
  }
  block.set(nv, 0);
  if (own !== null) block.set(seal(nv), COPY_B_AT);
  return block;
}

/** The copy for the state directory: as copy B. */
export function encodeThirdCopy(meta: HastMetadata, own: OwnMetadata): Buffer {
  return seal(encodeOwn(meta, own));
}

/**
 * A without our sequence wins: hastd wrote it. A and B with a sequence: the higher valid one wins.
 * A unreadable or torn: B or the third copy give the identity, and freshness is unknown; so it is when
 * the third copy is newer than both, since the disk lost a write that it had promised.
 * @param resource whose third copy it has to be; null takes any
 * @throws WireError `metadata-short`, `metadata-unreadable`
 */
export function decodeMetadataBlock(
  block: Buffer,
  thirdCopy: Buffer | null,
  resource: string | null = null,
): DecodedMetadata {
  if (block.length < METADATA_BYTES) {
    throw new WireError('metadata-short', block.length, 'block', `metadata has only ${block.length} bytes`);
  }
  const a = attempt(() => readCopyA(block));
  const fromThird = thirdCopy === null ? null : decodeThirdCopy(thirdCopy, resource);
  const fromB = valid(attempt(() => unseal(block.subarray(COPY_B_AT, METADATA_BYTES))));
  if (a instanceof WireError || a.torn) {
    if (fromB !== null && (fromThird === null || fromB.own.sequence >= fromThird.own.sequence)) {
      return { ...fromB, source: 'B', freshness: 'unknown' };
    }
    if (fromThird !== null) return { ...fromThird, source: 'third', freshness: 'unknown' };
    if (!(a instanceof WireError)) return { meta: a.meta, own: null, source: 'A', freshness: 'unknown' };
    throw new WireError(
      'metadata-unreadable',
      a.offset,
      a.field,
      `neither the metadata nor a copy of it can be read: ${a.message}; was "hastate create" run?`,
      { cause: a },
    );
  }
  if (a.own === null) return { meta: a.meta, own: null, source: 'A', freshness: 'unknown' };
  const newer = fromB !== null && fromB.own.sequence > a.own.sequence;
  const best: DecodedMetadata = newer
    ? { ...fromB, source: 'B', freshness: 'recorded' }
    : { meta: a.meta, own: a.own, source: 'A', freshness: 'recorded' };
  if (fromThird === null || !sameDisk(fromThird.meta, best.meta)) return best;
  // It is written after the block, so the block was promised to be durable.
  if (fromThird.own.sequence > (best.own?.sequence ?? 0n))
    return { ...fromThird, source: 'third', freshness: 'unknown' };
  return best;
}

/** Null when it is damaged, or another resource's; a resource of null takes any. */
export function decodeThirdCopy(sealed: Buffer, resource: string | null): MetadataCopy | null {
  const third = valid(attempt(() => unseal(sealed)));
  return resource === null || third?.meta.resource === resource ? third : null;
}

/** A disk that was created anew has a third copy of its former life. */
function sameDisk(a: HastMetadata, b: HastMetadata): boolean {
  return a.resuid === b.resuid && a.datasize === b.datasize && a.extentsize === b.extentsize;
}

function readCopyA(block: Buffer): { meta: HastMetadata; own: OwnMetadata | null; torn: boolean } {
  const nv = decodeNv(block);
  const meta = readHastdFields(nv);
  if (!nv.fields().some((field) => field.name.startsWith('hastate_')))
    return { meta, own: null, torn: false };
  const own = attempt(() => readOwn(nv, meta));
  return own instanceof WireError ? { meta, own: null, torn: true } : { meta, own, torn: false };
}

function seal(nv: Buffer): Buffer {
  const envelope = Buffer.alloc(ENVELOPE_BYTES);
  envelope.set(MAGIC, 0);
  envelope.writeUInt32LE(nv.length, MAGIC.length);
  envelope.writeUInt32LE(crc(nv), MAGIC.length + 4);
  return Buffer.concat([envelope, nv]);
}

function unseal(sealed: Buffer): MetadataCopy {
  const length = sealed.length < ENVELOPE_BYTES ? 0 : sealed.readUInt32LE(MAGIC.length);
  const nv = sealed.subarray(ENVELOPE_BYTES, ENVELOPE_BYTES + length);
  const intact =
    sealed.length >= ENVELOPE_BYTES &&
    sealed.subarray(0, MAGIC.length).equals(MAGIC) &&
    nv.length === length &&
    sealed.readUInt32LE(MAGIC.length + 4) === crc(nv);
  if (!intact) throw new WireError('metadata-crc', 0, 'copy', 'a copy of the metadata is damaged');
  const map = decodeNv(nv);
  const meta = readHastdFields(map);
  return { meta, own: readOwn(map, meta) };
}

function hastdFields(meta: HastMetadata): NvField[] {
  return [
    { name: 'resource', type: 'string', value: meta.resource },
    { name: 'datasize', type: 'uint64', value: meta.datasize },
    { name: 'extentsize', type: 'uint32', value: meta.extentsize },
    { name: 'keepdirty', type: 'uint32', value: meta.keepdirty },
    { name: 'offset', type: 'uint64', value: meta.offset },
    { name: 'resuid', type: 'uint64', value: meta.resuid },
    { name: 'localcnt', type: 'uint64', value: meta.localcnt },
    { name: 'remotecnt', type: 'uint64', value: meta.remotecnt },
    { name: 'prevrole', type: 'string', value: meta.prevrole },
  ];
}

function readHastdFields(nv: NvMap): HastMetadata {
  const prevrole = need(nv.string('prevrole'), 'prevrole');
  return {
    resource: need(nv.string('resource'), 'resource'),
    datasize: need(nv.size('datasize'), 'datasize'),
    extentsize: need(nv.number('extentsize', 'uint32'), 'extentsize'),
    keepdirty: need(nv.number('keepdirty', 'uint32'), 'keepdirty'),
    offset: need(nv.size('offset'), 'offset'),
    resuid: need(nv.big('resuid', 'uint64'), 'resuid'),
    localcnt: need(nv.big('localcnt', 'uint64'), 'localcnt'),
    remotecnt: need(nv.big('remotecnt', 'uint64'), 'remotecnt'),
    prevrole: oneOf(ROLES, prevrole, 'prevrole'),
  };
}

function ownFields({ record, sequence, canary, givenUp }: OwnMetadata): NvField[] {
  const fields: NvField[] = [
    { name: 'hastate_sequence', type: 'uint64', value: sequence },
    { name: 'hastate_epoch', type: 'uint64', value: record.epoch.number },
    { name: 'hastate_epochid', type: 'string', value: record.epoch.id },
    { name: 'hastate_current', type: 'string', value: record.generations.current },
    { name: 'hastate_previous', type: 'string', value: record.generations.previous },
    { name: 'hastate_state', type: 'string', value: record.state },
    // hast.conf allows no comma and no empty name.
    { name: 'hastate_insync', type: 'string', value: record.inSync.join(',') },
    { name: 'hastate_released', type: 'uint8', value: record.released ? 1 : 0 },
  ];
  if (record.primary !== null)
    fields.push({ name: 'hastate_primary', type: 'string', value: record.primary });
  if (canary !== undefined) fields.push({ name: 'hastate_canary', type: 'string', value: canary });
  if (givenUp === true) fields.push({ name: 'hastate_givenup', type: 'uint8', value: 1 });
  return fields;
}

/** The CRC is over all fields before it, as we write them: no padding garbage takes part. */
function encodeOwn(meta: HastMetadata, own: OwnMetadata): Buffer {
  const fields = [...hastdFields(meta), ...ownFields(own)];
  const plain = encodeNv(fields);
  return Buffer.concat([plain, encodeNv([{ name: 'hastate_crc', type: 'uint32', value: crc(plain) }])]);
}

function readOwn(nv: NvMap, meta: HastMetadata): OwnMetadata {
  const inSync = need(nv.string('hastate_insync'), 'hastate_insync');
  const canary = nv.string('hastate_canary');
  const record: ResourceRecord = {
    epoch: {
      number: need(nv.size('hastate_epoch'), 'hastate_epoch'),
      id: need(nv.string('hastate_epochid'), 'hastate_epochid'),
    },
    generations: {
      current: need(nv.string('hastate_current'), 'hastate_current'),
      previous: need(nv.string('hastate_previous'), 'hastate_previous'),
    },
    state: oneOf(STATES, need(nv.string('hastate_state'), 'hastate_state'), 'hastate_state'),
    primary: nv.string('hastate_primary') ?? null,
    inSync: inSync === '' ? [] : inSync.split(','),
    released: need(nv.number('hastate_released', 'uint8'), 'hastate_released') !== 0,
  };
  const sequence = need(nv.big('hastate_sequence', 'uint64'), 'hastate_sequence');
  const own: OwnMetadata = {
    record,
    sequence,
    ...(canary === undefined ? {} : { canary }),
    ...(nv.has('hastate_givenup') ? { givenUp: true } : {}),
  };
  const expected = crc(encodeNv([...hastdFields(meta), ...ownFields(own)]));
  if (nv.number('hastate_crc', 'uint32') !== expected) {
    throw new WireError('metadata-crc', 0, 'hastate_crc', 'hastate fields of the metadata are damaged');
  }
  return own;
}

function need<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw new WireError('metadata-field', 0, field, `metadata has no field ${field}`);
  return value;
}

function oneOf<T extends string>(allowed: readonly T[], value: string, field: string): T {
  const found = allowed.find((word) => word === value);
  if (found === undefined)
    throw new WireError('metadata-field', 0, field, `metadata field ${field} is "${value}"`);
  return found;
}

function valid(copy: MetadataCopy | WireError): MetadataCopy | null {
  return copy instanceof WireError ? null : copy;
}

function attempt<T>(read: () => T): T | WireError {
  try {
    return read();
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
}
