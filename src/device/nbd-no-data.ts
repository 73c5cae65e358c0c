/** Requests that carry no data in either direction. */
import type { BlockDevice } from '../model/block-device.ts';
import { CommandFlag, NbdCommand, type NbdRequest } from '../protocol/nbd.ts';

/** `request` is one that refusalOf() found right. */
export function startWithoutData(
  device: BlockDevice,
  { type, flags, offset, length }: NbdRequest,
  done: (error: string | null) => void,
): void {
  const fua = (flags & CommandFlag.FUA) !== 0;
  switch (type) {
    case NbdCommand.TRIM:
      device.discard(offset, length, fua, done);
      return;
    case NbdCommand.WRITE_ZEROES: {
      const mayPunch = (flags & CommandFlag.NO_HOLE) === 0;
      device.zero(offset, length, { fua, mayPunch, fast: (flags & CommandFlag.FAST_ZERO) !== 0 }, done);
      return;
    }
    default:
      device.flush(done);
  }
}
