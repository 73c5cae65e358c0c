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
  cause: 'standby' | 'unfit',
): Promise<void> {
  for (const { group: name, why } of unfit) {
    const group = groups.get(name);
    if (group?.role !== 'primary' || group.staysBecause(cause) !== null) continue;
    runtime.log('warn', `${name}: this node cannot lead (${why}): it hands over`);
    await switchToPeer(runtime, group).catch((error: unknown) => {
      runtime.log('warn', `${name}: ${describeError(error)}; it is tried again`);
    });
  }
}

/** Groups that go on through the other node's disk, since one of theirs here was given up. */
export function throughPeer(groups: Iterable<Group>): { group: string; why: string }[] {
  return [...groups].flatMap(({ settings, members }) => {
    const lost = members.find(({ snapshot }) => snapshot?.diskGivenUp === true);
    return lost === undefined
      ? []
      : [{ group: settings.name, why: `the disk of ${lost.settings.name} was given up` }];
  });
}

/** So long a node is not well for a group that it left because of a service: the other one does not give it back. */
const UNWELL_MS = 10 * 60_000;

/**
 * A service of the group cannot be kept running here: the other node takes it, when it may.
 * @throws HastateError `stays` why it cannot be handed over now, or the error of the handover
 */
export async function leaveFailed(runtime: Runtime, group: Group, why: string): Promise<void> {
  if (group.role !== 'primary') return;
  const { name } = group.settings;
  const stays = group.staysBecause('service');
  if (stays !== null)
    throw new HastateError('stays', `${stays}; mend the service, or run: hastate switchover ${name}`);
  runtime.log('warn', `${name}: ${why}: this node hands over`);
  group.unwellUntil = runtime.clock.now() + UNWELL_MS;
  await switchToPeer(runtime, group).catch((error: unknown) => {
    runtime.log('warn', `${name}: ${describeError(error)}`);
    throw error;
  });
}
