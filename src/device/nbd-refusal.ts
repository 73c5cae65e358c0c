/**
 * Whether a request may be passed to the device, and the error that the protocol wants for it if not.
 * @see NBD protocol, "Request types", "Error values", "Block size constraints"
 */
import { CommandFlag, MAX_PAYLOAD_BYTES, NbdCommand, type NbdRequest } from '../protocol/nbd.ts';

export interface RequestLimits {
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  /** TRIM is offered. */
  readonly discards: boolean;
}

/** FUA is allowed with every command, the others only where they mean something. */
const ZERO_FLAGS = CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO;

/** Null: nothing is wrong with it. Else `EINVAL`, or `ENOSPC` for data behind the end. */
export function refusalOf(
  request: NbdRequest,
  { sizeBytes, sectorBytes, discards }: RequestLimits,
): string | null {
  const { type, offset, length } = request;
  const allowed = type === NbdCommand.WRITE_ZEROES ? ZERO_FLAGS : CommandFlag.FUA;
  if ((request.flags & ~allowed) !== 0) return 'EINVAL';
  switch (type) {
    case NbdCommand.DISC:
    case NbdCommand.FLUSH:
      return null;
    case NbdCommand.READ:
    case NbdCommand.WRITE:
      if (length > MAX_PAYLOAD_BYTES) return 'EINVAL';
      break;
    case NbdCommand.TRIM:
      if (!discards) return 'EINVAL';
      break;
    case NbdCommand.WRITE_ZEROES:
      break;
    default:
      return 'EINVAL';
  }
  if (length === 0 || offset % sectorBytes !== 0 || length % sectorBytes !== 0) return 'EINVAL';
  if (offset + length <= sizeBytes) return null;
  return type === NbdCommand.WRITE || type === NbdCommand.WRITE_ZEROES ? 'ENOSPC' : 'EINVAL';
}
