/** What a promotion or its durable abort does with the epoch of the record. @see SAFETY B7, D4 */
import { EngineError } from '../model/errors.ts';
import { compareEpochs } from '../model/record.ts';
import type { Epoch } from '../model/record.ts';
import { describeEpoch } from './core.ts';
import type { EngineCore } from './core.ts';

/** @throws EngineError `epoch-old` unless `epoch` is above the recorded one */
export function refuseOldEpoch(core: EngineCore, epoch: Epoch): void {
  const ours = core.store.record.epoch;
  if (compareEpochs(ours, epoch) === 'newer') return;
  throw new EngineError(
    'epoch-old',
    `epoch ${describeEpoch(epoch)} is not above epoch ${describeEpoch(ours)} of ${core.setup.resource.name}: take a higher one`,
  );
}

/** A handover that nobody took up is over. Resolves when that is durable. */
export function takeBackRelease(core: EngineCore): Promise<void> {
  return core.save(({ record }) => (record.released ? { record: { ...record, released: false } } : null));
}
