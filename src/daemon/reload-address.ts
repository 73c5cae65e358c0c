/** What a reload does to a group's address: what is taken up while it runs, and what is not. Pure. */
import { isDeepStrictEqual } from 'node:util';

import type { AddressSettings } from '../model/settings.ts';

type Key = keyof AddressSettings;

/** Keys of hastate.yaml by the settings that they become. */
const LIVE: Readonly<Partial<Record<Key, string>>> = {
  addresses: 'addresses',
  vhid: 'vhid',
  advbase: 'advbase',
  advskew: 'advskew',
  priority: 'priority',
  intervalMs: 'interval',
  downAdverts: 'down-adverts',
  passwordFile: 'password-file',
  preempt: 'preempt',
  preemptDelayMs: 'preempt-delay',
  checksum: 'checksum',
  unicast: 'unicast',
  tieBreak: 'tie-break',
  flap: 'flap',
  minBackupMs: 'min-hold.backup',
  minMasterMs: 'min-hold.master',
  linkUpDelayMs: 'link-delay.up',
  linkDownDelayMs: 'link-delay.down',
  syncGroup: 'sync-group',
};
/** Sockets, interfaces and watches are made of these once. */
const FIXED: Readonly<Partial<Record<Key, string>>> = {
  protocol: 'protocol',
  interface: 'interface',
  transport: 'transport',
  driver: 'driver',
  virtualMac: 'virtual-mac',
  counter: 'counter',
  track: 'track',
};

export interface AddressPlan {
  readonly now: AddressSettings;
  /** Keys that are taken up, and keys that need a restart. */
  readonly words: readonly string[];
  readonly restart: readonly string[];
}

/** Another program elects: it has to be configured by itself. */
export function isForeign(protocol: AddressSettings['protocol']): boolean {
  return protocol === 'kernel-carp' || protocol === 'keepalived' || protocol === 'external';
}

export function planAddressChange(before: AddressSettings, after: AddressSettings): AddressPlan {
  // What CARP's numbers come to is not written by anybody.
  const differ = (key: Key): boolean =>
    !(key === 'intervalMs' && after.protocol === 'carp') && !isDeepStrictEqual(before[key], after[key]);
  const restart = changed(FIXED, differ);
  const words = changed(LIVE, differ);
  const { label, ...looks } = before.options;
  const { label: wantedLabel, ...wantedLooks } = after.options;
  if (label !== wantedLabel) restart.push('label');
  if (!isDeepStrictEqual(looks, wantedLooks)) words.push('deprecated, dad');
  let now: AddressSettings = { ...after, options: { ...wantedLooks, label } };
  for (const key of Object.keys(FIXED) as Key[]) now = { ...now, [key]: before[key] };
  // The virtual MAC is made of the id.
  if (before.virtualMac && differ('vhid')) {
    words.splice(words.indexOf('vhid'), 1);
    restart.push('vhid (with virtual-mac)');
    now = { ...now, vhid: before.vhid };
  }
  return { now, words, restart };
}

function changed(words: Readonly<Partial<Record<Key, string>>>, differ: (key: Key) => boolean): string[] {
  return Object.entries(words).flatMap(([key, word]) => (differ(key as Key) ? [word] : []));
}
