/**
 * Whether a request may be passed to the device, and the error that the protocol wants for it if not.
 * @see NBD protocol, "Request types", "Error values", "Block size constraints"
 */
import { CommandFlag, MAX_PAYLOAD_BYTES, NbdCommand, type NbdRequest } from '../protocol/nbd.ts';
import type { Agreed } from './nbd-handshake.ts';

export interface RequestLimits {
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  /** TRIM is offered. */
  readonly discards: boolean;
}

const NOTHING_AGREED: Agreed = { structured: false, allocation: false };

/** Null: nothing is wrong with it. Else `EINVAL`, or `ENOSPC` for data behind the end. */
export function refusalOf(
  request: NbdRequest,
  { sizeBytes, sectorBytes, discards }: RequestLimits,
  agreed: Agreed = NOTHING_AGREED,
): string | null {
  const { type, offset, length } = request;
  // FUA is allowed with every command, the others only where they mean something.
  const special = request.flags & ~CommandFlag.FUA;
  if (special !== 0 && (special & ~specialFlags(type, agreed)) !== 0) return 'EINVAL';
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
    case NbdCommand.BLOCK_STATUS:
      if (!agreed.allocation) return 'EINVAL';
      break;
    default:
      return 'EINVAL';
  }
  if (length === 0 || offset % sectorBytes !== 0 || length % sectorBytes !== 0) return 'EINVAL';
  if (offset + length <= sizeBytes) return null;
  return type === NbdCommand.WRITE || type === NbdCommand.WRITE_ZEROES ? 'ENOSPC' : 'EINVAL';
}

function specialFlags(type: number, { structured }: Agreed): number {
  switch (type) {
    case NbdCommand.WRITE_ZEROES:
      return CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO;
    case NbdCommand.READ:
      return structured ? CommandFlag.DF : 0;
    case NbdCommand.BLOCK_STATUS:
      return CommandFlag.REQ_ONE;
    default:
      return 0;
  }
}
