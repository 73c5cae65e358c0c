/**
 * What a reload does: compares what runs with what the files say now. What can be followed at once is
 * in the settings of the plan; what cannot stays as it is and is named. Pure.
 */
import { isDeepStrictEqual } from 'node:util';

import type { NodeCertificates } from '../model/certificates.ts';
import { changedKeys, needsReopen, RESOURCE_WORDS, type ResourceKey } from '../model/resource-changes.ts';
import type { GroupSettings, HastateSettings, HastSettings, ResourceSettings } from '../model/settings.ts';
import type { Settings } from './load-settings.ts';
import { isForeign, planAddressChange } from './reload-address.ts';

export interface ResourceChange {
  readonly after: ResourceSettings;
  /** `local` or `name`: the resource is closed and opened again. */
  readonly reopen: boolean;
}

export interface ReloadPlan {
  /** What holds from now on. */
  readonly hast: HastSettings;
  readonly settings: HastateSettings;
  readonly secret: Buffer | null;
  readonly certificates: NodeCertificates | null;
  readonly added: readonly ResourceSettings[];
  readonly removed: readonly string[];
  readonly changed: readonly ResourceChange[];
  /** Groups whose settings changed, as they are now. */
  readonly groups: readonly GroupSettings[];
  /** What is followed at once, one phrase each. */
  readonly applied: readonly string[];
  /** What is not, as its place in the files. */
  readonly needsRestart: readonly string[];
}

/** Keys of hastate.yaml by the settings that they become. */
const LIVE = { references: 'references', fence: 'fence', watchdog: 'watchdog', log: 'log' } as const;
const FIXED = {
  peer: 'nodes',
  peerListen: 'nodes',
  advertPort: 'advert-port',
  secretFile: 'secret-file',
  insecure: 'insecure',
  // What is up is taken down by the files that brought it up.
  hooksDir: 'hooks-dir',
  timing: 'timing',
  visualizer: 'visualizer',
} as const;
const GROUP_LIVE = {
  policy: 'policy',
  prefer: 'prefer',
  failback: 'failback',
  failbackDelayMs: 'failback-delay',
  bootWaitMs: 'boot-wait',
  allowLoss: 'allow-loss',
  afterSplit: 'after-split',
  hooks: 'hooks',
  monitor: 'monitor',
} as const;
const GROUP_FIXED = { resources: 'resources', device: 'device', peerKind: 'peer-kind' } as const;

/** In `applied`: what the secret file holds, for connections from now on. */
export const SECRETS = 'the secrets in secret-file';
/** What the files of `tls` hold, and which these are. */
export const CERTIFICATES = 'the certificates of tls';

export function planReload(before: Settings, after: Settings): ReloadPlan {
  const applied: string[] = [];
  const needsRestart = new Set<string>();
  const { settings, groups } = planSettings(before.settings, after.settings, applied, needsRestart);
  const grouped = new Set(before.settings.groups.flatMap(({ resources }) => resources));
  const resources = planResources(before.hast, after.hast, grouped, applied, needsRestart);
  for (const key of ['listen', 'pidfile', 'control'] as const)
    if (!isDeepStrictEqual(before.hast[key], after.hast[key])) applied.push(key);
  // Of another file only when that is followed.
  const secret = settings.secretFile === after.settings.secretFile ? after.secret : before.secret;
  if (!isDeepStrictEqual(before.secret, secret)) applied.push(SECRETS);
  const followsTls = isDeepStrictEqual(settings.tls, after.settings.tls);
  const certificates = followsTls ? after.certificates : before.certificates;
  if (!isDeepStrictEqual(before.certificates, certificates)) applied.push(CERTIFICATES);
  return {
    hast: { ...after.hast, resources: resources.all },
    settings,
    secret,
    certificates,
    added: resources.added,
    removed: resources.removed,
    changed: resources.changed,
    groups,
    applied,
    needsRestart: [...needsRestart],
  };
}

function planSettings(
  before: HastateSettings,
  after: HastateSettings,
  applied: string[],
  needsRestart: Set<string>,
): { settings: HastateSettings; groups: GroupSettings[] } {
  const differ = (key: keyof HastateSettings): boolean => !isDeepStrictEqual(before[key], after[key]);
  for (const [key, word] of entries(LIVE)) if (differ(key)) applied.push(word);
  for (const [key, word] of entries(FIXED)) if (differ(key)) needsRestart.add(word);
  // Other files are followed; to come in place of a secret, or the other way round, needs a restart.
  const tls = before.tls !== null && after.tls !== null ? after.tls : before.tls;
  if (!isDeepStrictEqual(tls, after.tls)) needsRestart.add('tls');
  const changed: GroupSettings[] = [];
  const groups = before.groups.map((group) => {
    const wanted = after.groups.find(({ name }) => name === group.name);
    if (wanted === undefined) {
      needsRestart.add(`groups.${group.name}`);
      return group;
    }
    const next = planGroup(group, wanted, applied, needsRestart);
    if (next !== group) changed.push(next);
    return next;
  });
  for (const { name } of after.groups)
    if (!before.groups.some((group) => group.name === name)) needsRestart.add(`groups.${name}`);
  // Of a resource that is new it counts at once: its engine is made with it.
  const resyncRates = { ...after.resyncRates, ...before.resyncRates };
  if (Object.entries(after.resyncRates).some(([name, rate]) => resyncRates[name] !== rate))
    needsRestart.add('resync-rate');
  const { references, fence, watchdog, log } = after;
  return {
    settings: { ...before, tls, resyncRates, references, fence, watchdog, log, groups },
    groups: changed,
  };
}

function planGroup(
  before: GroupSettings,
  after: GroupSettings,
  applied: string[],
  needsRestart: Set<string>,
): GroupSettings {
  const differ = (key: keyof GroupSettings): boolean => !isDeepStrictEqual(before[key], after[key]);
  for (const [key, word] of entries(GROUP_FIXED))
    if (differ(key)) needsRestart.add(`groups.${before.name}.${word}`);
  const live = entries(GROUP_LIVE).filter(([key]) => differ(key));
  applied.push(...live.map(([, word]) => `groups.${before.name}.${word}`));
  const address = planAddress(before, after, applied, needsRestart);
  if (live.length === 0 && address === before.address) return before;
  const { policy, prefer, allowLoss, afterSplit, hooks, monitor } = after;
  const { failback, failbackDelayMs, bootWaitMs } = after;
  const moves = { failback, failbackDelayMs, bootWaitMs };
  return { ...before, ...moves, policy, prefer, allowLoss, afterSplit, hooks, monitor, address };
}

function planAddress(
  { name, address: before }: GroupSettings,
  { address: after }: GroupSettings,
  applied: string[],
  needsRestart: Set<string>,
): GroupSettings['address'] {
  const place = `groups.${name}.address`;
  if (isDeepStrictEqual(before, after)) return before;
  if (before === null || after === null || [before, after].some(({ protocol }) => isForeign(protocol))) {
    needsRestart.add(place);
    return before;
  }
  const { now, words, restart } = planAddressChange(before, after);
  applied.push(...words.map((word) => `${place}.${word}`));
  for (const word of restart) needsRestart.add(`${place}.${word}`);
  return now;
}

function planResources(
  before: HastSettings,
  after: HastSettings,
  grouped: ReadonlySet<string>,
  applied: string[],
  needsRestart: Set<string>,
) {
  const all: ResourceSettings[] = [];
  const added: ResourceSettings[] = [];
  const changed: ResourceChange[] = [];
  for (const wanted of after.resources) {
    const runs = before.resources.find(({ name }) => name === wanted.name);
    const next = runs === undefined ? wanted : { ...wanted, peer: runs.peer };
    all.push(next);
    if (runs === undefined) {
      added.push(next);
      applied.push(`resource ${next.name} (new)`);
      continue;
    }
    if (wanted.peer !== runs.peer) needsRestart.add(`resource ${wanted.name}: the name of the other node`);
    const keys = changedKeys(runs, next);
    if (keys.length === 0) continue;
    changed.push({ after: next, reopen: needsReopen(keys) });
    applied.push(`resource ${next.name}: ${words(keys)}`);
  }
  const removed: string[] = [];
  for (const gone of before.resources) {
    if (after.resources.some(({ name }) => name === gone.name)) continue;
    if (grouped.has(gone.name)) {
      all.push(gone);
      needsRestart.add(`resource ${gone.name} (removed, and a member of a group)`);
    } else {
      removed.push(gone.name);
      applied.push(`resource ${gone.name} (removed)`);
    }
  }
  return { all, added, removed, changed };
}

function words(keys: readonly ResourceKey[]): string {
  return keys.map((key) => RESOURCE_WORDS[key]).join(', ');
}

function entries<K extends string>(map: Readonly<Record<K, string>>): [K, string][] {
  return Object.entries(map) as [K, string][];
}
