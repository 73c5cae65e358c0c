/**
 * Requests of any length against a device that takes only so much in one piece.
 * Clients that did not ask for our block sizes send up to 32 MiB.
 */
import type { BlockDevice } from '../model/block-device.ts';

/**
 * Has the data of a read where it belongs.
 * @param data what the device gave; most give `into` itself
 */
export function received(data: Buffer | null, into: Buffer): string | null {
  if (data === into) return null;
  // A reply of the wrong length would put the whole stream out of step.
  if (data?.length !== into.length) return 'EIO';
  data.copy(into);
  return null;
}

/** Fills `into`. `done` gets the first error, once every piece has ended. */
export function readSplit(
  device: BlockDevice,
  offset: number,
  into: Buffer,
  done: (error: string | null) => void,
): void {
  const settle = collect(Math.ceil(into.length / device.maxRequestBytes), done);
  for (let start = 0; start < into.length; start += device.maxRequestBytes) {
    const piece = into.subarray(start, start + device.maxRequestBytes);
    device.read(offset + start, piece.length, (error, data) => settle(error ?? received(data, piece)), piece);
  }
}

/**
 * Takes ownership of `data`. With `fua` every piece is durable when `done` is called without error.
 * @param free may be called: the device is done with all of `data`
 */
export function writeSplit(
  device: BlockDevice,
  offset: number,
  data: Buffer,
  fua: boolean,
  done: (error: string | null) => void,
  free: () => void = () => undefined,
): void {
  const count = Math.ceil(data.length / device.maxRequestBytes);
  const settle = count === 1 ? done : collect(count, done);
  let held = count;
  const freed = (): void => {
    held -= 1;
    if (held === 0) free();
  };
  for (let start = 0; start < data.length; start += device.maxRequestBytes) {
    device.write(offset + start, data.subarray(start, start + device.maxRequestBytes), fua, settle, freed);
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
