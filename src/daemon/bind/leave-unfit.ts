/** Where this node cannot lead any more and the other can without loss, it hands over. */
import { describeError } from '../../model/errors.ts';
import type { Runtime } from '../runtime.ts';
import { switchToPeer } from '../switchover.ts';
import type { Group } from './group.ts';

/** Never rejects: what cannot be handed over now is tried again when something changes. */
export async function leaveUnfit(
  runtime: Runtime,
  groups: ReadonlyMap<string, Group>,
  unfit: readonly { readonly group: string; readonly why: string }[],
): Promise<void> {
  for (const { group: name, why } of unfit) {
    const group = groups.get(name);
    if (group?.role !== 'primary' || group.peerReady() !== null) continue;
    // Clients reach the other node no better: it would only hand the group back.
    if (runtime.peer.report(name)?.healthy !== true) continue;
    runtime.log('warn', `${name}: this node cannot lead (${why}): it hands over`);
    await switchToPeer(runtime, group).catch((error: unknown) => {
      runtime.log('warn', `${name}: ${describeError(error)}; it is tried again`);
    });
  }
}
