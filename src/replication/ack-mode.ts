/**
 * What an application's write waits for, and what the other node knows of it. A secondary of a primary that does
 * not wait for it may lack what was acknowledged, so it has to know that before the first such answer.
 * @see SAFETY A2
 */
import type { ReplicationMode } from '../model/roles.ts';
import type { ResourceSettings } from '../model/settings.ts';
import type { EngineCore } from './core.ts';

/** The mode in force: `async` only once the peer was told, when it can be. */
export function ackMode({ setup, asyncTold }: EngineCore): ReplicationMode {
  const { replication } = setup.resource;
  return replication === 'async' && setup.peerKind === 'hastate' && !asyncTold ? 'memsync' : replication;
}

/** Whether a peer that was told of `before` has to be told anew, in a handshake. */
export function changesCandidates(
  core: EngineCore,
  before: ResourceSettings,
  after: ResourceSettings = core.setup.resource,
): boolean {
  if (core.setup.peerKind !== 'hastate') return false;
  return (
    before.replication !== after.replication && [before, after].some((one) => one.replication === 'async')
  );
}

/** The other node has our hast.conf only in part yet: who was never told a mode takes the one that promises less. */
export function learnFromSettings(core: EngineCore, before: ResourceSettings): void {
  if (changesCandidates(core, before)) core.primaryMode ??= 'async';
}
