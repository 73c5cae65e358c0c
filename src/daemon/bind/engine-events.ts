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
