/** What an engine tells of itself, as events of its resource's chart. */
import type { ResourceMachineEvent } from '../../../machines/resource.ts';
import type { EngineEvent } from '../../replication/messages.ts';

export const EVENT_OF: Partial<Record<EngineEvent['kind'], ResourceMachineEvent['type']>> = {
  connected: 'ENGINE.CONNECTED',
  disconnected: 'ENGINE.DISCONNECTED',
  'sync-started': 'ENGINE.SYNC_STARTED',
  'sync-done': 'ENGINE.SYNC_DONE',
  'sync-interrupted': 'ENGINE.SYNC_INTERRUPTED',
  held: 'ENGINE.HELD',
  resumed: 'ENGINE.RESUMED',
  frozen: 'ENGINE.FROZEN',
  thawed: 'ENGINE.THAWED',
  'split-brain': 'ENGINE.SPLIT_BRAIN',
};

/** What an engine says, with the name of its resource before it, which some of its messages begin with. */
export function withName(resource: string, message: string): string {
  const named = message.startsWith(`${resource}: `) || message.startsWith(`${resource} is `);
  return named ? message : `${resource}: ${message}`;
}
