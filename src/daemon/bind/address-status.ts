/** What is shown of a shared address: everything that `ifconfig` shows of CARP and keepalived of VRRP. */
import type { SnapshotFrom } from 'xstate';

import type { advertiserMachine } from '../../../machines/advertiser.ts';
import { candidateOf, type StateChange } from '../../../machines/advertiser-context.ts';
import { advertIntervalMs, announcementOf, downIntervalMs, isGoodbye } from '../../model/election.ts';
import type { AddressSettings } from '../../model/settings.ts';
import type { PeerSeen } from '../../net/advert-receiver.ts';
import type { AddressStatus } from '../../protocol/control.ts';

/** A counter that appears with its first event cannot be watched. */
const COUNTED = {
  both: ['received', 'accepted', 'sent', 'send-error', 'ttl', 'own-source', 'duplicate-address'],
  carp: ['hmac', 'carp-short', 'carp-long', 'carp-version', 'carp-checksum'],
  vrrp: [
    ...['auth', 'vrrp-auth-type', 'interval', 'address-list'],
    ...['vrrp-short', 'vrrp-length', 'vrrp-type', 'vrrp-version', 'vrrp-checksum'],
  ],
} as const;

export function addressStatus(about: {
  readonly settings: AddressSettings;
  readonly snapshot: SnapshotFrom<typeof advertiserMachine>;
  /** ms, monotonic, as `since` and the peers' `at`. */
  readonly now: number;
  readonly since: number;
  readonly lastChange: (StateChange & { readonly time: string }) | null;
  readonly carriers: readonly string[];
  readonly transport: string;
  readonly peers: readonly PeerSeen[];
  readonly counters: Readonly<Record<string, number>>;
  readonly waitsFor: string | null;
}): AddressStatus {
  const { settings, snapshot, now, lastChange } = about;
  const { context } = snapshot;
  const candidate = candidateOf(context);
  const says = announcementOf(candidate);
  const counted = [...COUNTED.both, ...COUNTED[says.protocol]];
  const downMs = downIntervalMs(candidate);
  const follows = about.peers.findLast((peer) => !isGoodbye(peer.says) && now - peer.at <= downMs);
  return {
    protocol: settings.protocol,
    interface: settings.interface,
    state: context.carp,
    sinceMs: Math.max(0, Math.round(now - about.since)),
    lastTransition:
      lastChange === null
        ? null
        : { from: lastChange.from, to: lastChange.to, reason: lastChange.reason, time: lastChange.time },
    vhid: settings.vhid,
    addresses: settings.addresses,
    up: context.serving,
    carriers: about.carriers,
    transport: about.transport,
    authentication: authenticationOf(settings),
    says,
    configured: announcementOf({ ...candidate, demotion: {}, yieldsOwnership: false }),
    follows:
      context.carp !== 'BACKUP' || follows === undefined
        ? null
        : { source: follows.source, says: follows.says },
    timers: {
      advertMs: advertIntervalMs(candidate),
      downMs,
      learnedMs: context.learnedMs,
    },
    preempt: context.settings.preempt,
    preemptDelayMs: context.settings.preemptDelayMs,
    demotion: context.demotion,
    faults: context.faults,
    hold: holdOf(snapshot),
    elections: context.flaps,
    waitsFor: about.waitsFor,
    peers: about.peers.map(({ source, says, at, adverts }) => ({
      source,
      says,
      heardMsAgo: Math.max(0, Math.round(now - at)),
      adverts,
    })),
    counters: { ...Object.fromEntries(counted.map((name) => [name, 0])), ...about.counters },
  };
}

/** VRRP 3 has none. */
export function authenticationOf({
  protocol,
  passwordFile,
}: Pick<AddressSettings, 'protocol' | 'passwordFile'>): AddressStatus['authentication'] {
  if (passwordFile === null || protocol === 'vrrp3' || protocol === 'external') return 'none';
  return protocol === 'vrrp2' || protocol === 'keepalived' ? 'password' : 'digest';
}

function holdOf(snapshot: SnapshotFrom<typeof advertiserMachine>): string | null {
  if (snapshot.matches({ BACKUP: 'flapping' })) return `flapping: ${snapshot.context.reason}`;
  return snapshot.matches({ BACKUP: 'holding' }) ? snapshot.context.reason : null;
}
