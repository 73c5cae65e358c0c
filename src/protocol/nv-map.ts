/** What a decoded name/value list holds. Lookup is by name, first match, and by type, as in hastd. */
import { WireError } from '../model/errors.ts';

export type NvScalarType = 'int8' | 'uint8' | 'int16' | 'uint16' | 'int32' | 'uint32' | 'int64' | 'uint64';
type NvSmallType = Exclude<NvScalarType, 'int64' | 'uint64'>;

export type NvField =
  | { readonly name: string; readonly type: NvScalarType; readonly value: number | bigint }
  /** An array of uint8. */
  | { readonly name: string; readonly type: 'bytes'; readonly value: Buffer }
  | { readonly name: string; readonly type: 'string'; readonly value: string };

/** An array type that HAST does not use: kept as it came. */
export interface NvOpaque {
  readonly name: string;
  readonly type: 'opaque';
  readonly code: number;
  readonly value: Buffer;
}

const SCALAR_NAMES: readonly NvScalarType[] = [
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
];
const TYPE_BYTES = 10;
const TYPE_STRING = 17;
/** Numbers of `index` per entry: type, name offset, name length, value offset, value length. */
const STRIDE = 5;

/** Refers to the buffer that was decoded: use it before that buffer is used again. */
export class NvMap {
  readonly #buffer: Buffer;
  readonly #index: readonly number[];

  /** @param index checked entries, see decodeNv */
  constructor(buffer: Buffer, index: readonly number[]) {
    this.#buffer = buffer;
    this.#index = index;
  }

  has(name: string): boolean {
    return this.#find(name) >= 0;
  }

  /** @returns undefined when there is no such field; @throws WireError `nv-type` when it has another type */
  number(name: string, type: NvSmallType): number | undefined {
    const entry = this.#find(name);
    if (entry < 0) return undefined;
    this.#expect(entry, name, SCALAR_NAMES.indexOf(type) + 1, type);
    const at = this.#at(entry, 3);
    switch (type) {
      case 'int8':
        return this.#buffer.readInt8(at);
      case 'uint8':
        return this.#buffer.readUInt8(at);
      case 'int16':
        return this.#buffer.readInt16LE(at);
      case 'uint16':
        return this.#buffer.readUInt16LE(at);
      case 'int32':
        return this.#buffer.readInt32LE(at);
      case 'uint32':
        return this.#buffer.readUInt32LE(at);
    }
  }

  /** As number(), for 64-bit types. */
  big(name: string, type: 'int64' | 'uint64'): bigint | undefined {
    const entry = this.#find(name);
    if (entry < 0) return undefined;
    this.#expect(entry, name, SCALAR_NAMES.indexOf(type) + 1, type);
    const at = this.#at(entry, 3);
    return type === 'int64' ? this.#buffer.readBigInt64LE(at) : this.#buffer.readBigUInt64LE(at);
  }

  /**
   * A uint64 that must be a whole number below 2^53: offsets and lengths, without the price of a bigint.
   * @throws WireError `nv-type`, `nv-range`
   */
  size(name: string): number | undefined {
    const entry = this.#find(name);
    if (entry < 0) return undefined;
    this.#expect(entry, name, 8, 'uint64');
    const at = this.#at(entry, 3);
    const high = this.#buffer.readUInt32LE(at + 4);
    if (high > 0x1fffff) {
      throw new WireError('nv-range', at, name, `nv field ${name} at byte ${at} is not below 2^53`);
    }
    return high * 0x100000000 + this.#buffer.readUInt32LE(at);
  }

  string(name: string): string | undefined {
    const entry = this.#find(name);
    if (entry < 0) return undefined;
    this.#expect(entry, name, TYPE_STRING, 'string');
    return this.#text(entry);
  }

  /** A view into the decoded buffer. */
  bytes(name: string): Buffer | undefined {
    const entry = this.#find(name);
    if (entry < 0) return undefined;
    this.#expect(entry, name, TYPE_BYTES, 'bytes');
    return this.#value(entry);
  }

  /** All entries in order. 64-bit values are bigint, smaller ones number. */
  fields(): readonly (NvField | NvOpaque)[] {
    const fields: (NvField | NvOpaque)[] = [];
    for (let entry = 0; entry < this.#index.length; entry += STRIDE) fields.push(this.#field(entry));
    return fields;
  }

  #field(entry: number): NvField | NvOpaque {
    const code = this.#at(entry, 0);
    const nameAt = this.#at(entry, 1);
    const name = this.#buffer.toString('utf8', nameAt, nameAt + this.#at(entry, 2));
    const value = this.#value(entry);
    if (code === TYPE_STRING) return { name, type: 'string', value: this.#text(entry) };
    if (code === TYPE_BYTES) return { name, type: 'bytes', value };
    const type = SCALAR_NAMES[code - 1];
    if (type === undefined) return { name, type: 'opaque', code, value };
    if (type === 'int64') return { name, type, value: value.readBigInt64LE() };
    if (type === 'uint64') return { name, type, value: value.readBigUInt64LE() };
    const signed = code % 2 === 1;
    return {
      name,
      type,
      value: signed ? value.readIntLE(0, value.length) : value.readUIntLE(0, value.length),
    };
  }

  #find(name: string): number {
    const buffer = this.#buffer;
    const length = name.length;
    next: for (let entry = 0; entry < this.#index.length; entry += STRIDE) {
      if (this.#at(entry, 2) !== length) continue;
      const nameAt = this.#at(entry, 1);
      for (let i = 0; i < length; i++) if (buffer[nameAt + i] !== name.charCodeAt(i)) continue next;
      return entry;
    }
    return -1;
  }

  #at(entry: number, column: number): number {
    return this.#index[entry + column] ?? 0;
  }

  #value(entry: number): Buffer {
    const at = this.#at(entry, 3);
    return this.#buffer.subarray(at, at + this.#at(entry, 4));
  }

  #text(entry: number): string {
    const at = this.#at(entry, 3);
    return this.#buffer.toString('utf8', at, at + this.#at(entry, 4) - 1);
  }

  #expect(entry: number, name: string, code: number, type: string): void {
    const actual = this.#at(entry, 0);
    if (actual === code) return;
    const at = this.#at(entry, 1);
    throw new WireError(
      'nv-type',
      at,
      name,
      `nv field ${name} at byte ${at} has type ${actual}, not ${type}`,
    );
  }
}
