/** What another hast.conf changes of a resource that runs. Pure. */
import type { ResourceSettings } from './settings.ts';

export type ResourceKey = keyof ResourceSettings;

/** Names as hast.conf has them. */
export const RESOURCE_WORDS: Readonly<Record<ResourceKey, string>> = {
  name: 'resource',
  provname: 'name',
  local: 'local',
  remote: 'remote',
  source: 'source',
  replication: 'replication',
  checksum: 'checksum',
  compression: 'compression',
  timeoutMs: 'timeout',
  exec: 'exec',
  metaflush: 'metaflush',
  peer: 'on',
};

const LINK_KEYS: readonly ResourceKey[] = [
  ...(['remote', 'source', 'replication', 'checksum', 'compression', 'timeoutMs'] as const),
];
/** Another disk or another device: the resource is closed and opened again. */
const RESTART_KEYS: readonly ResourceKey[] = ['provname', 'local'];

export function changedKeys(before: ResourceSettings, after: ResourceSettings): ResourceKey[] {
  return (Object.keys(RESOURCE_WORDS) as ResourceKey[]).filter((key) => before[key] !== after[key]);
}

/** Whether what the two nodes agreed on when they connected is no longer so. */
export function changesLink(before: ResourceSettings, after: ResourceSettings): boolean {
  return LINK_KEYS.some((key) => before[key] !== after[key]);
}

export function needsReopen(keys: readonly ResourceKey[]): boolean {
  return RESTART_KEYS.some((key) => keys.includes(key));
}
