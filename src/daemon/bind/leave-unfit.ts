/** Where this node cannot lead any more and the other can without loss, it hands over. */
import { describeError, HastateError } from '../../model/errors.ts';
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

/** So long a node is not well for a group that it left because of a service: the other one does not give it back. */
const UNWELL_MS = 10 * 60_000;

/**
 * A service of the group cannot be kept running here: the other node takes it, when it may.
 * @throws HastateError `stays` why it cannot be handed over now, or the error of the handover
 */
export async function leaveFailed(runtime: Runtime, group: Group, why: string): Promise<void> {
  if (group.role !== 'primary') return;
  const { name, policy } = group.settings;
  const stays = (text: string): HastateError => new HastateError('stays', text);
  if (policy === 'manual')
    throw stays(`policy manual leaves it to a person; mend the service, or run: hastate switchover ${name}`);
  const notReady = group.peerReady();
  if (notReady !== null) throw stays(notReady);
  if (runtime.peer.group(name)?.healthy === false)
    throw stays(`${runtime.settings.peer?.name ?? 'the other node'} is not well for it either`);
  runtime.log('warn', `${name}: ${why}: this node hands over`);
  group.unwellUntil = runtime.clock.now() + UNWELL_MS;
  await switchToPeer(runtime, group).catch((error: unknown) => {
    runtime.log('warn', `${name}: ${describeError(error)}`);
    throw error;
  });
}
