/** A local component as a real hastd would have left it, and what is on it afterwards. */
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';

import {
  decodeMetadataBlock,
  encodeMetadataBlock,
  type HastMetadata,
  layout,
  METADATA_BYTES,
} from '../../../src/protocol/hast-metadata.ts';

/** Of all captured scenarios. */
const EXTENT_BYTES = 2 * 1024 * 1024;
const SECTOR_BYTES = 512;
const KEEPDIRTY = 64;
const MAP_BYTES = 512;

export interface DiskState {
  readonly datasize: number;
  readonly resuid: bigint;
  readonly localcnt: bigint;
  readonly remotecnt: bigint;
  readonly prevrole: HastMetadata['prevrole'];
  /** The activemap; null = nothing is dirty. */
  readonly map: Buffer | null;
}

/** A sparse file: zeros of `data` are not written. */
export function writeDisk(path: string, state: DiskState, data: Buffer): void {
  const { localoff, datasize } = layout(
    state.datasize + METADATA_BYTES + MAP_BYTES,
    EXTENT_BYTES,
    SECTOR_BYTES,
  );
  if (datasize !== state.datasize) throw new Error(`no disk has ${state.datasize} bytes of data`);
  const { resuid, localcnt, remotecnt, prevrole, map } = state;
  const meta: HastMetadata = {
    ...{ resource: 'test', datasize, extentsize: EXTENT_BYTES, keepdirty: KEEPDIRTY, offset: localoff },
    ...{ resuid, localcnt, remotecnt, prevrole },
  };
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, localoff + datasize);
    writeSync(fd, encodeMetadataBlock(meta, null), 0, METADATA_BYTES, 0);
    if (map !== null) writeSync(fd, map, 0, map.length, METADATA_BYTES);
    const zeros = Buffer.alloc(EXTENT_BYTES);
    for (let at = 0; at < datasize; at += EXTENT_BYTES) {
      const piece = data.subarray(at, Math.min(datasize, at + EXTENT_BYTES));
      if (!piece.equals(zeros.subarray(0, piece.length)))
        writeSync(fd, piece, 0, piece.length, localoff + at);
    }
  } finally {
    closeSync(fd);
  }
}

/** hastd's nine fields, which stand at the start of the disk whoever wrote them. */
export function readMetadata(path: string): HastMetadata {
  const fd = openSync(path, 'r');
  try {
    const block = Buffer.alloc(METADATA_BYTES);
    readSync(fd, block, 0, METADATA_BYTES, 0);
    return decodeMetadataBlock(block, null).meta;
  } finally {
    closeSync(fd);
  }
}

/** The user data. */
export function readData(path: string): Buffer {
  return readFileSync(path).subarray(readMetadata(path).offset);
}
