/** The extents that are marked on both nodes, exchanged in pieces that fit into messages of the peer channel. */
import { NetError } from '../model/errors.ts';
import { type Divergence, divergence } from '../model/divergence.ts';
import type { CopyFacts } from '../model/resolve.ts';
import { MARKS_BYTES, readMarks } from '../protocol/resolve-message.ts';
import type { Member } from './bind/members.ts';
import type { ResolvePorts } from './resolve.ts';

const ASK_MS = 5000;
/** A disk of 12 TiB with extents of 2 MiB. */
const MAX_PIECES = 32;

/** The piece of this node's map from byte `from` on. @throws EngineError, DiskError */
export async function marksOf(member: Member, from: number): Promise<{ marks: string }> {
  const { marks } = await member.engine.command({ type: 'marks' }, { timeoutMs: ASK_MS });
  const bytes = (marks ?? new Uint8Array()).subarray(from, from + MARKS_BYTES);
  return { marks: Buffer.from(bytes).toString('base64') };
}

/** Null when the maps cannot be compared: other sizes, too large, an earlier version, or the node is gone. */
export async function compareMarks(
  ports: ResolvePorts,
  member: Member,
  keep: CopyFacts,
  discard: CopyFacts,
): Promise<Divergence | null> {
  const { extentBytes, dataBytes } = keep;
  if (extentBytes === 0 || extentBytes !== discard.extentBytes || dataBytes !== discard.dataBytes)
    return null;
  const bytes = Math.ceil(Math.ceil(dataBytes / extentBytes) / 8);
  if (bytes > MAX_PIECES * MARKS_BYTES) return null;
  try {
    const { marks: ours } = await member.engine.command({ type: 'marks' }, { timeoutMs: ASK_MS });
    const theirs = Buffer.alloc(bytes);
    for (let from = 0; from < bytes; from += MARKS_BYTES) {
      const step = { step: 'marks', from, resource: member.settings.name };
      const piece = readMarks(await ports.askPeer('resolve', step, ASK_MS));
      if (piece.length !== Math.min(MARKS_BYTES, bytes - from)) return null;
      piece.copy(theirs, from);
    }
    if (ours?.length !== bytes) return null;
    const [kept, given] = keep.node === ports.runtime.node ? [ours, theirs] : [theirs, ours];
    return divergence(kept, given, { extentBytes, dataBytes });
  } catch (error) {
    // It is only to be shown; that the other node is gone is told where it matters.
    if (error instanceof NetError) return null;
    throw error;
  }
}
