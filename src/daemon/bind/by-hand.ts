import type { GroupSettings } from '../../model/settings.ts';
import type { Runtime } from '../runtime.ts';

/** A resource outside any group: a person gives its role, through the same door. */
export function byHandGroup({ settings }: Runtime, resource: string): GroupSettings {
  const taken = settings.groups.some(({ name }) => name === resource);
  return {
    name: taken ? `resource:${resource}` : resource,
    policy: 'manual',
    prefer: null,
    failback: 'never',
    failbackDelayMs: 0,
    bootWaitMs: 0,
    allowLoss: false,
    afterSplit: 'disconnect',
    peerKind: settings.peer === null ? 'hastd' : 'hastate',
    resources: [resource],
    hooks: {},
    monitor: { usual: null, hooks: {} },
    device: 'none',
    address: null,
  };
}
