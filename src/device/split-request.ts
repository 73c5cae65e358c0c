/**
 * Requests of any length against a device that takes only so much in one piece.
 * Clients that did not ask for our block sizes send up to 32 MiB.
 */
import type { BlockDevice } from '../model/block-device.ts';

/** `done` gets the pieces in order; or the first error, once every piece has ended. */
export function readSplit(
  device: BlockDevice,
  offset: number,
  length: number,
  done: (error: string | null, pieces: readonly Buffer[]) => void,
): void {
  const count = Math.ceil(length / device.maxRequestBytes);
  const pieces = new Array<Buffer>(count);
  const settle = collect(count, (error) => done(error, error === null ? pieces : []));
  for (let index = 0; index < count; index += 1) {
    const start = index * device.maxRequestBytes;
    const bytes = Math.min(device.maxRequestBytes, length - start);
    device.read(offset + start, bytes, (error, data) => {
      // A reply of the wrong length would put the whole stream out of step.
      if (data?.length === bytes) pieces[index] = data;
      settle(error ?? (data?.length === bytes ? null : 'EIO'));
    });
  }
}

/** Takes ownership of `data`. With `fua` every piece is durable when `done` is called without error. */
export function writeSplit(
  device: BlockDevice,
  offset: number,
  data: Buffer,
  fua: boolean,
  done: (error: string | null) => void,
): void {
  const count = Math.ceil(data.length / device.maxRequestBytes);
  const settle = collect(count, done);
  for (let start = 0; start < data.length; start += device.maxRequestBytes) {
    device.write(offset + start, data.subarray(start, start + device.maxRequestBytes), fua, settle);
  }
}

function collect(count: number, done: (error: string | null) => void): (error: string | null) => void {
  let left = count;
  let first: string | null = null;
  return (error) => {
    first ??= error;
    left -= 1;
    if (left === 0) done(first);
  };
}
