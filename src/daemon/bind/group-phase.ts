/** What a state of the group's chart means to others. */
import type { SnapshotFrom } from 'xstate';

import type { groupMachine } from '../../../machines/group.ts';
import type { Reason } from '../../model/verdict.ts';
import type { GroupStatus } from '../../protocol/control.ts';
import { dotted } from '../runtime.ts';

type GroupSnapshot = SnapshotFrom<typeof groupMachine>;

export function roleOf(snapshot: GroupSnapshot): GroupStatus['role'] {
  if (snapshot.matches('primary')) return 'primary';
  if (snapshot.matches('promoting') || snapshot.matches('demoting') || snapshot.matches('closing'))
    return 'changing';
  return snapshot.matches('stuck') ? 'stuck' : 'secondary';
}

/** The members are primary in the new epoch; devices, hooks and the address may still be on their way. */
export function isUp(snapshot: GroupSnapshot): boolean {
  return (
    snapshot.matches({ promoting: 'attaching' }) ||
    snapshot.matches({ promoting: 'startingHooks' }) ||
    snapshot.matches('primary')
  );
}

/** For status: where the chart is, why, and what went wrong on the way. */
export function describeTransition({ value, context }: GroupSnapshot): string {
  const what = `${dotted(value)}: ${context.reason}`;
  return context.error === null ? what : `${what}: ${context.error}`;
}

/** C3: why the chart does not act on a verdict just now, or null when it would. */
export function holdsOff(snapshot: GroupSnapshot): Reason | null {
  const { error, reason } = snapshot.context;
  if (snapshot.matches('holding')) {
    return {
      rule: 'C3',
      code: 'holding',
      text: `holds off after a failure and tries again: ${error ?? reason}`,
    };
  }
  if (snapshot.matches('stuck') || snapshot.matches('closing')) {
    return {
      rule: 'C3',
      code: 'stuck',
      text: `something of an earlier epoch cannot be removed: ${error ?? reason}`,
    };
  }
  return null;
}
