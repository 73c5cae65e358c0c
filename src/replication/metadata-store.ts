/**
 * The metadata of one local component: read once, then written durably in three copies, one
 * update after the other, with a growing sequence number. What callers see is what is durable.
 * @see hast.md section 2, SAFETY E2
 */
import { Buffer } from 'node:buffer';
import { describeError, DiskError } from '../model/errors.ts';
import { VIRGIN_RECORD } from '../model/record.ts';
import type { ResourceRecord } from '../model/record.ts';
import {
  activemapBytes,
  decodeMetadataBlock,
  encodeMetadataBlock,
  encodeThirdCopy,
  layout,
  METADATA_BYTES,
} from '../protocol/hast-metadata.ts';
import type { DecodedMetadata, HastMetadata, OwnMetadata } from '../protocol/hast-metadata.ts';
import type { DiskPort, IoResult, RandomPort, SidecarPort } from './ports.ts';

const CANARY_BYTES = 8;

/** What it needs of the local component. */
export type MetadataDisk = Pick<DiskPort, 'sizeBytes' | 'sectorBytes' | 'read' | 'writeDurable'>;

export interface StoredState {
  readonly meta: HastMetadata;
  readonly record: ResourceRecord;
  /** The map on the disk says nothing: every extent may differ. */
  readonly givenUp: boolean;
}

/** What becomes of a state; null: it stays. */
export type StateChange = (state: StoredState) => Partial<StoredState> | null;

export class MetadataStore {
  /** Why the third copy is not what it should be, or null: the two on the disk have to do. */
  copyError: string | null;
  /** A foreign program wrote over our map, or the disk was given up: it says nothing. */
  readonly mapLost: boolean;
  /** Bytes of the map that are read and written. */
  readonly imageBytes: number;
  /** The map as found on disk. */
  readonly image: Buffer;
  /** Where the canary stands in the map, or null when the map has no slack. */
  readonly canaryAt: number | null;
  readonly canary: Buffer;
  readonly #disk: MetadataDisk;
  readonly #sidecar: SidecarPort;
  readonly #onCopy: (error: string | null) => void;
  #doubt: string | null;
  #blockFailed = false;
  #state: StoredState;
  #sequence: bigint;
  #last: Promise<void> = Promise.resolve();

  private constructor(
    disk: MetadataDisk,
    sidecar: SidecarPort,
    found: DecodedMetadata,
    image: Buffer,
    random: RandomPort,
    copyError: string | null,
    onCopy: (error: string | null) => void,
  ) {
    this.#disk = disk;
    this.#sidecar = sidecar;
    this.copyError = copyError;
    this.#onCopy = onCopy;
    const { meta, own } = found;
    this.image = image;
    this.imageBytes = image.length;
    const at = image.length - CANARY_BYTES;
    this.canaryAt = at >= activemapBytes(meta.datasize, meta.extentsize) ? at : null;
    this.#doubt = doubtOf(found, image, this.canaryAt);
    const foreign = own === null || this.#doubt === FOREIGN;
    // Without a canary nothing tells that this is still the disk that the copy belongs to.
    const unmarked = found.source !== 'A' && this.canaryAt === null;
    this.mapLost = own !== null && (foreign || unmarked || own.givenUp === true);
    // A new one, so that the doubt stays until a record is written with it.
    this.canary = Buffer.from((foreign ? undefined : own.canary) ?? random.id(), 'hex');
    this.#state = {
      meta,
      // A disk that hastd wrote has a history that we know nothing of.
      record: foreign ? { ...VIRGIN_RECORD, state: meta.resuid === 0n ? 'virgin' : 'outdated' } : own.record,
      givenUp: own?.givenUp === true,
    };
    this.#sequence = own?.sequence ?? 0n;
  }

  /**
   * @param onCopy the third copy could not be written, for this reason, or can be again
   * @throws DiskError when the component cannot be read, is another resource's, or is too small
   */
  static async open(
    disk: MetadataDisk,
    sidecar: SidecarPort,
    resource: string,
    random: RandomPort,
    onCopy: (error: string | null) => void = () => undefined,
  ): Promise<MetadataStore> {
    const block = await readAt(disk, 0, METADATA_BYTES, 'metadata');
    let copyError: string | null = null;
    const third = await sidecar.load().catch((error: unknown) => {
      copyError = describeError(error);
      return null;
    });
    let found: DecodedMetadata;
    try {
      found = decodeMetadataBlock(block, third, resource);
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new DiskError('metadata-unreadable', `resource ${resource}: ${text}`, { cause });
    }
    const bytes = check(found.meta, disk, resource);
    return new MetadataStore(
      disk,
      sidecar,
      found,
      await readAt(disk, METADATA_BYTES, bytes, 'activemap'),
      random,
      copyError,
      onCopy,
    );
  }

  /** Why nothing may be concluded from the record (SAFETY B4, E2), or null. */
  get doubt(): string | null {
    return this.#doubt;
  }

  /** What this disk holds was made certain in this life: by a primary that copied to it, or by being one. */
  settleDoubt(): void {
    this.#doubt = null;
  }

  get meta(): HastMetadata {
    return this.#state.meta;
  }
  get record(): ResourceRecord {
    return this.#state.record;
  }
  get givenUp(): boolean {
    return this.#state.givenUp;
  }
  /** The last update reached the third copy alone. */
  get blockFailed(): boolean {
    return this.#blockFailed;
  }

  /**
   * Writes what `change` makes of the newest state; null = nothing to write. Resolves when it is durable:
   * in the two copies on the disk, and in the third one unless `copyError` says otherwise. A disk that was given up is
   * left alone: what is said of it stands in the third copy.
   * @throws DiskError `metadata-write`; the state that callers see is then the old one
   */
  update(change: StateChange): Promise<void> {
    const run = this.#last.then(() => this.#write(change));
    this.#last = run.catch(() => undefined);
    return run;
  }

  async #write(change: StateChange): Promise<void> {
    const wanted = change(this.#state);
    if (wanted === null) return;
    const next: StoredState = { ...this.#state, ...wanted };
    this.#sequence++;
    const own: OwnMetadata = {
      record: next.record,
      sequence: this.#sequence,
      ...(this.canaryAt === null ? {} : { canary: this.canary.toString('hex') }),
      ...(next.givenUp ? { givenUp: true } : {}),
    };
    const copy = encodeThirdCopy(next.meta, own);
    let failure: unknown = null;
    const leave = next.givenUp && this.#state.givenUp;
    if (!leave) {
      failure = await writeDurable(this.#disk, 0, encodeMetadataBlock(next.meta, own)).then(
        () => null,
        (error: unknown) => error,
      );
      this.#blockFailed = failure !== null;
    }
    // That this disk is worth nothing is recorded durably elsewhere, too: the third copy is the newer one then.
    const { state } = next.record;
    const elsewhere = next.givenUp || state === 'inconsistent' || state === 'outdated';
    // After the block: a third copy that is newer than the block proves a lost write.
    if (failure === null || elsewhere) await this.#copy(copy);
    if (this.copyError === null ? failure === null || elsewhere : failure === null && !next.givenUp) {
      this.#state = next;
      return;
    }
    throw new DiskError(
      'metadata-write',
      `metadata of ${next.meta.resource} could not be written: check its local component`,
      { cause: failure ?? this.copyError },
    );
  }

  /** A full disk under the state directory must not stop what the local component can record by itself. */
  async #copy(content: Buffer): Promise<void> {
    const before = this.copyError;
    try {
      await this.#sidecar.store(content);
      this.copyError = null;
    } catch (error) {
      this.copyError = describeError(error);
    }
    if (this.copyError !== before) this.#onCopy(this.copyError);
  }
}

/** What the log is told of a third copy that failed or works again. */
export function copyNews(resource: string, error: string | null): ['warn' | 'info', string] {
  return error === null
    ? ['info', `${resource}: the third copy of its metadata is up to date again.`]
    : ['warn', `${resource}: ${error}; the two copies on its disk have to do`];
}

interface CreateOptions {
  readonly extentsize: number;
  readonly keepdirty: number;
  /** Bytes of the component to use; all of it by default. */
  readonly mediasize?: number;
}

/**
 * What `hastate create` writes.
 * @returns the metadata block and the zeroed map that follows it
 * @throws DiskError `create-size`, `create-extentsize`
 */
export function createMetadata(
  resource: string,
  mediasize: number,
  sectorsize: number,
  options: CreateOptions,
): { meta: HastMetadata; block: Buffer; map: Buffer } {
  const { extentsize, keepdirty } = options;
  const size = Math.floor((options.mediasize ?? mediasize) / sectorsize) * sectorsize;
  if (!Number.isSafeInteger(size) || size > mediasize) {
    throw new DiskError(
      'create-size',
      `mediasize ${size} of ${resource} is larger than its component (${mediasize} bytes)`,
    );
  }
  if (!isPowerOfTwo(extentsize) || extentsize < sectorsize || extentsize > 2 ** 31) {
    throw new DiskError(
      'create-extentsize',
      `extentsize ${extentsize} of ${resource} is not a power of 2 from the sector size ${sectorsize} on; 2097152 is usual`,
    );
  }
  if (!Number.isInteger(keepdirty) || keepdirty < 1) {
    throw new DiskError('create-keepdirty', `keepdirty ${keepdirty} of ${resource} is not at least 1`);
  }
  const { mapBytes, localoff, datasize } = layout(size, extentsize, sectorsize);
  if (!(datasize >= sectorsize)) {
    throw new DiskError('create-size', `${resource} has only ${size} bytes: too small for metadata and data`);
  }
  const meta: HastMetadata = {
    resource,
    datasize,
    extentsize,
    keepdirty,
    offset: localoff,
    resuid: 0n,
    localcnt: 0n,
    remotecnt: 0n,
    prevrole: 'init',
  };
  return { meta, block: encodeMetadataBlock(meta, null), map: Buffer.alloc(mapBytes) };
}

const FOREIGN = 'a plain hastd wrote to this disk since';
const NO_SLACK =
  "its activemap fills its region, so that a plain hastd's writes would leave no trace; " +
  "another size given to 'hastate create -m' on both nodes avoids that";

function doubtOf({ meta, own, freshness }: DecodedMetadata, image: Buffer, at: number | null): string | null {
  // The first who opens a new disk gives it its canary.
  const isNew = own === null || (own.canary === undefined && own.record.state === 'virgin');
  if (isNew) return meta.resuid === 0n ? null : FOREIGN;
  if (at === null) return NO_SLACK;
  if (image.toString('hex', at, at + CANARY_BYTES) !== own.canary) return FOREIGN;
  return freshness === 'unknown' ? 'its metadata was torn or lost and read from a copy' : null;
}

/** @returns bytes of the map to read */
function check(meta: HastMetadata, disk: MetadataDisk, resource: string): number {
  const fail = (code: string, text: string): never => {
    throw new DiskError(code, `local component of ${resource}: ${text}`);
  };
  if (meta.resource !== resource)
    fail('metadata-resource', `it is part of resource ${meta.resource}; correct 'local' in hast.conf`);
  const sector = disk.sectorBytes;
  if (!isPowerOfTwo(meta.extentsize) || meta.extentsize % sector !== 0)
    fail('metadata-extentsize', `extentsize ${meta.extentsize} does not fit sectors of ${sector}`);
  if (meta.datasize <= 0 || meta.datasize % sector !== 0)
    fail('metadata-datasize', `datasize ${meta.datasize} does not fit sectors of ${sector}`);
  if (meta.offset + meta.datasize > disk.sizeBytes) {
    fail(
      'disk-too-small',
      `it has ${disk.sizeBytes} bytes and was created with ${meta.offset + meta.datasize}; give it that size again, or run 'hastate create --force ${resource}'`,
    );
  }
  const needed = activemapBytes(meta.datasize, meta.extentsize);
  const bytes = Math.ceil(needed / sector) * sector;
  if (METADATA_BYTES + bytes > meta.offset)
    fail('metadata-offset', `data at ${meta.offset} leaves no room for the activemap`);
  return bytes;
}

function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(n) && n > 0 && Number.isInteger(Math.log2(n));
}

function readAt(disk: MetadataDisk, offset: number, length: number, what: string): Promise<Buffer> {
  if (offset + length > disk.sizeBytes)
    return Promise.reject(
      new DiskError(
        'disk-too-small',
        `the local component has ${disk.sizeBytes} bytes: too small for its ${what}`,
      ),
    );
  return new Promise((resolve, reject) => {
    const into = Buffer.alloc(length);
    disk.read(offset, into, (error) => {
      if (error === null) resolve(into);
      else reject(new DiskError('disk-read', `${what} cannot be read from the local component: ${error}`));
    });
  });
}

function writeDurable(disk: MetadataDisk, offset: number, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    disk.writeDurable(offset, data, (error: IoResult) => {
      if (error === null) resolve();
      else
        reject(new DiskError('disk-write', `${data.length} bytes at ${offset} were not written: ${error}`));
    });
  });
}
