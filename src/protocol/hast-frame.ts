/**
 * Frames of HAST connections and of hastctl's socket:
 *   u8 version | u32 nv_size | nv | as many bytes of data as the nv's `size` says
 * @see hast.md section 4
 */
import { WireError } from '../model/errors.ts';
import type { BufferPool, Held } from './buffer-pool.ts';
import { decodeNv, encodeNv } from './nv.ts';
import type { NvField, NvMap } from './nv.ts';

/** Highest version of the protocol. */
export const HAST_VERSION = 2;
export const FRAME_HEADER_BYTES = 5;
/** Data of more bytes than this gets memory of its own where there is a pool for it. */
const LARGE_BYTES = 128 * 1024;
/** Behind a large message another is expected, of which little is read with its header. */
const HEADER_WINDOW_BYTES = 4096;
/** What is above is noise rather than a node that was installed later. */
const LAST_CREDIBLE_VERSION = 31;

export interface Frame {
  readonly version: number;
  readonly nv: NvMap;
  readonly data: Buffer | null;
  /** Where `data` has memory from the pool: to be released when nobody needs `data` any more. */
  readonly memory?: Held;
}

export interface FrameLimits {
  readonly maxNvBytes: number;
  readonly maxDataBytes: number;
}

/** What is said to both sides of a connection that a node of another version made. */
export function aboveOurs(version: number): string {
  return `the peer speaks version ${version} of HAST, this node up to ${HAST_VERSION}: install the same version on both nodes`;
}

/** The refusal for a first frame that was sent by a later version, or null when it is something else. */
export function refusesVersion(head: Buffer): string | null {
  const version = head[0] ?? 0;
  return version > HAST_VERSION && version <= LAST_CREDIBLE_VERSION ? aboveOurs(version) : null;
}

/** @returns header with nv, and the data when there is some; `size` is appended here */
export function encodeFrame(version: number, fields: readonly NvField[], data?: Buffer): Buffer[] {
  const nv = encodeNv(
    data === undefined ? fields : [...fields, { name: 'size', type: 'uint32', value: data.length }],
  );
  const head = Buffer.allocUnsafe(FRAME_HEADER_BYTES + nv.length);
  head[0] = version;
  head.writeUInt32LE(nv.length, 1);
  head.set(nv, FRAME_HEADER_BYTES);
  return data === undefined ? [head] : [head, data];
}

/**
 * Cuts a byte stream into frames. What lies together in memory is returned in place, so a chunk must
 * not change any more; only what spans chunks that do not follow each other in memory is copied.
 */
export class FrameReader {
  #limits: FrameLimits;
  #pool: BufferPool | null = null;
  #lastWasLarge = false;
  #fault: WireError | null = null;
  /** Bytes of frames already returned: offsets in errors count from the start of the stream. */
  #consumed = 0;
  #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerHas = 0;
  #nvBytes = 0;
  #nv: Fill | null = null;
  #map: NvMap | null = null;
  #data: Fill | null = null;

  constructor(limits: FrameLimits) {
    this.#limits = limits;
  }

  /** From now on data of so many bytes is taken, and what is large goes to memory of the pool. */
  admit(maxDataBytes: number, pool: BufferPool): void {
    this.#limits = { ...this.#limits, maxDataBytes };
    this.#pool = pool;
  }

  /**
   * Where what comes next should be read to, so that push() need not copy it: this memory, or any, but no
   * more than so many bytes.
   */
  window(): Buffer | number {
    const room = this.#data?.room ?? null;
    if (room !== null) return room;
    return this.#lastWasLarge ? HEADER_WINDOW_BYTES : Infinity;
  }

  /** The fields of a message were read, its data is coming. */
  get isInData(): boolean {
    return this.#map !== null;
  }

  /** The stream ended inside a message if this is true at its end. */
  get partial(): boolean {
    return this.#headerHas > 0;
  }

  /**
   * @throws WireError `frame-version`, `frame-nv-size`, `frame-data-size` or what decodeNv throws.
   * The frames of this chunk are lost then, nothing of them was answered; the reader stays broken.
   */
  push(chunk: Buffer): Frame[] {
    if (this.#fault !== null) throw this.#fault;
    try {
      return this.#read(chunk);
    } catch (error) {
      if (error instanceof WireError) this.#fault = error;
      throw error;
    }
  }

  #read(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    for (;;) {
      if (this.#headerHas === 0) at = this.#readWhole(chunk, at, frames);
      if (this.#map === null) {
        at = this.#readHeader(chunk, at);
        if (this.#headerHas < FRAME_HEADER_BYTES) return frames;
        this.#nv ??= new Fill(this.#nvBytes);
        at = this.#nv.take(chunk, at);
        if (this.#nv.whole === null) return frames;
        this.#map = decodeNv(this.#nv.whole);
        const size = this.#map.number('size', 'uint32');
        if (size !== undefined) this.#expectData(size, chunk.length - at);
      }
      if (this.#data !== null) {
        at = this.#data.take(chunk, at);
        if (this.#data.whole === null) return frames;
      }
      const data = this.#data?.whole ?? null;
      const frame = { version: this.#header[0] ?? 0, nv: this.#map, data };
      const memory = this.#data?.memory ?? null;
      frames.push(memory === null ? frame : { ...frame, memory });
      this.#lastWasLarge = (data?.length ?? 0) > LARGE_BYTES;
      this.#consumed += FRAME_HEADER_BYTES + this.#nvBytes + (data?.length ?? 0);
      this.#headerHas = 0;
      this.#nv = this.#map = this.#data = null;
    }
  }

  /** Most frames lie whole in their chunk. What does not, or is at fault, is left to the rest. */
  #readWhole(chunk: Buffer, from: number, frames: Frame[]): number {
    let at = from;
    while (chunk.length - at >= FRAME_HEADER_BYTES) {
      const version = chunk[at] ?? 0;
      const nvBytes = chunk.readUInt32LE(at + 1);
      const nvAt = at + FRAME_HEADER_BYTES;
      const dataAt = nvAt + nvBytes;
      if (version > HAST_VERSION || nvBytes > this.#limits.maxNvBytes || dataAt > chunk.length) break;
      const nv = decodeNv(chunk.subarray(nvAt, dataAt));
      const size = nv.number('size', 'uint32');
      if (size === 0 || (size ?? 0) > this.#limits.maxDataBytes) break;
      const end = dataAt + (size ?? 0);
      if (end > chunk.length) break;
      frames.push({ version, nv, data: size === undefined ? null : chunk.subarray(dataAt, end) });
      this.#lastWasLarge = false;
      this.#consumed += end - at;
      at = end;
    }
    return at;
  }

  #readHeader(chunk: Buffer, from: number): number {
    if (this.#headerHas === FRAME_HEADER_BYTES) return from;
    const taken = chunk.copy(this.#header, this.#headerHas, from);
    this.#headerHas += taken;
    const version = this.#header[0] ?? 0;
    if (this.#headerHas > 0 && version > HAST_VERSION) {
      throw new WireError('frame-version', this.#consumed, 'version', aboveOurs(version));
    }
    if (this.#headerHas === FRAME_HEADER_BYTES) {
      this.#nvBytes = this.#header.readUInt32LE(1);
      if (this.#nvBytes > this.#limits.maxNvBytes) {
        throw new WireError(
          'frame-nv-size',
          this.#consumed + 1,
          'nv_size',
          `a message announces ${this.#nvBytes} bytes of fields, at most ${this.#limits.maxNvBytes} are taken`,
        );
      }
    }
    return from + taken;
  }

  /** @param here bytes of it that were read already */
  #expectData(size: number, here: number): void {
    if (size === 0 || size > this.#limits.maxDataBytes) {
      throw new WireError(
        'frame-data-size',
        this.#consumed,
        'size',
        `a message announces ${size} bytes of data, 1 to ${this.#limits.maxDataBytes} are taken`,
      );
    }
    // What is mostly here costs less where it lies.
    const pool = size > LARGE_BYTES && here * 2 <= size ? this.#pool : null;
    this.#data = new Fill(size, pool);
  }
}

/** Some bytes of the stream: in memory of a pool; else a view where they lie together in memory, else a copy. */
class Fill {
  whole: Buffer | null = null;
  readonly memory: Held | null = null;
  readonly #length: number;
  /** What is here of them, in place. */
  #part: Buffer | null = null;
  #copy: Buffer | null = null;
  #has = 0;

  constructor(length: number, pool: BufferPool | null = null) {
    this.#length = length;
    if (pool === null) return;
    const own = pool.take(length);
    this.#copy = own;
    this.memory = { release: () => pool.give(own) };
  }

  /** The rest of the memory that these bytes have for their own, or null. */
  get room(): Buffer | null {
    return this.memory === null ? null : (this.#copy?.subarray(this.#has) ?? null);
  }

  /** @returns where in the chunk it stopped */
  take(chunk: Buffer, at: number): number {
    if (this.whole !== null || (chunk.length === at && this.#length > 0)) return at;
    const taken = Math.min(chunk.length - at, this.#length - this.#has);
    if (this.#copy !== null) this.#put(this.#copy, chunk.subarray(at, at + taken));
    else if (this.#part === null) this.#part = chunk.subarray(at, at + taken);
    else this.#append(this.#part, chunk, at, taken);
    this.#has += taken;
    if (this.#has === this.#length) this.whole = this.#copy ?? this.#part;
    return at + taken;
  }

  /** What was read to where window() said lies there. */
  #put(to: Buffer, bytes: Buffer): void {
    if (to.buffer !== bytes.buffer) to.set(bytes, this.#has);
  }

  #append(part: Buffer, chunk: Buffer, at: number, taken: number): void {
    if (part.buffer === chunk.buffer && part.byteOffset + part.length === chunk.byteOffset + at) {
      this.#part = Buffer.from(part.buffer, part.byteOffset, part.length + taken);
      return;
    }
    this.#copy = Buffer.allocUnsafeSlow(this.#length);
    this.#copy.set(part);
    this.#copy.set(chunk.subarray(at, at + taken), part.length);
  }
}
