/** A block that proves where and when it was written. */
import { crc } from '../../protocol/checksum.ts';

export const STAMP_BYTES = 4096;
const MAGIC = 0x48535431;

/** magic u32 | slot u32 | sequence u64 | filler from the sequence | crc32 u32 of all before. */
export function encodeStamp(slot: number, sequence: number): Buffer {
  const block = Buffer.alloc(STAMP_BYTES, `${slot}:${sequence};`);
  block.writeUInt32LE(MAGIC, 0);
  block.writeUInt32LE(slot, 4);
  block.writeBigUInt64LE(BigInt(sequence), 8);
  block.writeUInt32LE(crc(block.subarray(0, STAMP_BYTES - 4)), STAMP_BYTES - 4);
  return block;
}

/** The sequence of a whole stamp of this slot, else null. */
export function decodeStamp(block: Buffer, slot: number): number | null {
  if (block.length !== STAMP_BYTES || block.readUInt32LE(0) !== MAGIC || block.readUInt32LE(4) !== slot)
    return null;
  if (block.readUInt32LE(STAMP_BYTES - 4) !== crc(block.subarray(0, STAMP_BYTES - 4))) return null;
  return Number(block.readBigUInt64LE(8));
}
