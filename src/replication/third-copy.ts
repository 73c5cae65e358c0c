/** The word of a node for its disk where the engine of it cannot give one. @see SAFETY A3 */
import { describeError, EngineError } from '../model/errors.ts';
import { compareEpochs } from '../model/record.ts';
import type { Epoch } from '../model/record.ts';
import { decodeThirdCopy, encodeThirdCopy } from '../protocol/hast-metadata.ts';
import { describeEpoch } from './core.ts';
import type { SidecarPort } from './ports.ts';

/** Which disk it is, as its engine said last. */
export interface KnownDisk {
  readonly resource: string;
  /** Decimal. */
  readonly resuid: string;
  /** Bytes. */
  readonly datasize: number;
  readonly extentsize: number;
}

/**
 * More than an engine can have counted past its last third copy: whatever it wrote to its disk, or still has under
 * way there, is older than this.
 */
const FAR_AHEAD = 2n ** 32n;

/**
 * Records `outdated` in the third copy alone: it is newer than the disk, and counts when that is opened again.
 * Only for a disk that no engine has, so that none can write over this, and none be a candidate.
 * @throws EngineError `epoch-old`, `third-copy-strange`, `third-copy-write`; DiskError when it cannot be read
 */
export async function outdateThirdCopy(sidecar: SidecarPort, disk: KnownDisk, epoch: Epoch): Promise<void> {
  const { resource } = disk;
  const sealed = await sidecar.load();
  const copy = sealed === null ? null : decodeThirdCopy(sealed, resource);
  const same =
    copy?.meta.resuid.toString() === disk.resuid &&
    copy.meta.datasize === disk.datasize &&
    copy.meta.extentsize === disk.extentsize;
  if (!same)
    throw new EngineError(
      'third-copy-strange',
      `${resource} cannot be recorded as outdated: the copy of its metadata in the state directory is not of this disk`,
    );
  const { meta, own } = copy;
  refuseOld(resource, own.record.epoch, epoch);
  const state = own.record.state === 'inconsistent' ? 'inconsistent' : 'outdated';
  const sequence = own.sequence + FAR_AHEAD;
  try {
    await sidecar.store(encodeThirdCopy(meta, { ...own, sequence, record: { ...own.record, state } }));
  } catch (cause) {
    throw new EngineError(
      'third-copy-write',
      `${resource} cannot be recorded as outdated: ${describeError(cause)}`,
      { cause },
    );
  }
}

/** @throws EngineError `epoch-old` when the primary of `asked` is not the one that this disk follows */
export function refuseOld(resource: string, ours: Epoch, asked: Epoch): void {
  const order = compareEpochs(ours, asked);
  if (order !== 'older' && order !== 'clash') return;
  throw new EngineError(
    'epoch-old',
    `epoch ${describeEpoch(asked)} may not outdate ${resource}, which is in epoch ${describeEpoch(ours)}`,
  );
}
