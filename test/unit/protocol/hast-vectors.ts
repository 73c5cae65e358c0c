/** Captured bytes of real hastd and hastctl, and what an independent parser saw in them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { FrameReader } from '../../../src/protocol/hast-message.ts';
import type { Frame } from '../../../src/protocol/hast-message.ts';
import type { NvField, NvMap } from '../../../src/protocol/nv.ts';

const ROOT = join(import.meta.dirname, '../../vectors/hast');

export interface ExpectedMessage {
  readonly off: number;
  readonly hdr_version: number;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly data_len?: number;
  readonly total_len: number;
}

export interface CapturedStream {
  readonly name: string;
  readonly bytes: Buffer;
  readonly messages: readonly ExpectedMessage[];
}

interface Index {
  readonly connections?: readonly Readonly<
    Record<string, { file: string; messages: readonly ExpectedMessage[] } | undefined>
  >[];
  readonly streams?: Readonly<Record<string, readonly ExpectedMessage[]>>;
}

export function vectorNames(folder: string): string[] {
  return readdirSync(join(ROOT, folder)).sort();
}

export function vectorBytes(path: string): Buffer {
  const full = join(ROOT, path);
  return existsSync(full) ? readFileSync(full) : gunzipSync(readFileSync(`${full}.gz`));
}

/** Whole numbers that a double cannot hold become strings. */
export function vectorJson(path: string): unknown {
  return JSON.parse(
    vectorBytes(path)
      .toString()
      .replace(/": (\d{16,})(?=[\s,}])/g, '": "$1"'),
  );
}

/** Every one-way stream of every captured connection. */
export function capturedStreams(folder: 'streams' | 'fakeprimary'): CapturedStream[] {
  const captured: CapturedStream[] = [];
  for (const scenario of vectorNames(folder)) {
    if (scenario.endsWith('.json')) continue;
    const index = vectorJson(`${folder}/${scenario}/index.json`) as Index;
    const add = (file: string, messages: readonly ExpectedMessage[]): void => {
      captured.push({
        name: `${scenario}/${file}`,
        bytes: vectorBytes(`${folder}/${scenario}/${file}`),
        messages,
      });
    };
    for (const connection of index.connections ?? []) {
      for (const way of [connection['p2s'], connection['s2p']]) if (way) add(way.file, way.messages);
    }
    for (const [file, messages] of Object.entries(index.streams ?? {})) add(file, messages);
  }
  return captured;
}

export const ROOMY = { maxNvBytes: 65536, maxDataBytes: 1 << 20 };

/** Feeds a reader with the pieces between the given cuts. */
export function readInPieces(bytes: Buffer, cuts: readonly number[]): Frame[] {
  const reader = new FrameReader(ROOMY);
  const frames: Frame[] = [];
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    frames.push(...reader.push(bytes.subarray(from, cut)));
    from = cut;
  }
  return frames;
}

/** Fields that encodeNv takes: captured messages hold no others. */
export function knownFields(nv: NvMap): NvField[] {
  return nv.fields().filter((field) => field.type !== 'opaque');
}

/** As the index files write a field's value. */
export function asIndexed(nv: NvMap): Record<string, unknown> {
  return Object.fromEntries(
    nv.fields().map(({ name, value }) => {
      if (Buffer.isBuffer(value)) return [name, value.toString('hex')];
      if (typeof value !== 'bigint') return [name, value];
      return [name, value >= 10n ** 15n ? String(value) : Number(value)];
    }),
  );
}

/** The bytes with hastd's garbage in the name padding zeroed: what a clean encoder writes. */
export function maskNamePadding(nv: Buffer): Buffer {
  const masked = Buffer.from(nv);
  let at = 0;
  while (at < masked.length && masked[at] !== 0) {
    const nameBytes = masked[at + 1] ?? 0;
    const valueAt = at + 6 + ((nameBytes + 7) & ~7);
    masked.fill(0, at + 6 + nameBytes, valueAt);
    at = valueAt + ((masked.readUInt32LE(at + 2) + 7) & ~7);
  }
  return masked;
}
