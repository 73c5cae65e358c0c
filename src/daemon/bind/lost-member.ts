/** An engine that died in standby: the group has to settle again, which opens its disk. */
import type { Actor } from 'xstate';

import type { groupMachine } from '../../../machines/group.ts';
import type { Member } from './members.ts';

/** Tells the chart, unless all engines are there or being opened. The chart ignores it where it settles anyway. */
export function tellLost(group: Pick<Actor<typeof groupMachine>, 'send'>, members: readonly Member[]): void {
  const lost = members.find(({ engine, actor }) => !engine.running && actor.getSnapshot().matches('failed'));
  if (lost === undefined) return;
  group.send({ type: 'MEMBER.LOST', reason: `${lost.settings.name}: ${lost.error ?? 'its engine died'}` });
}
