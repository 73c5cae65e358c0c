/** What is shown of a shared address: everything that `ifconfig` shows of CARP and keepalived of VRRP. */
import type { SnapshotFrom } from 'xstate';

import type { advertiserMachine } from '../../../machines/advertiser.ts';
import { candidateOf, type StateChange } from '../../../machines/advertiser-context.ts';
import { advertIntervalMs, announcementOf, downIntervalMs } from '../../model/election.ts';
import type { AddressSettings } from '../../model/settings.ts';
import type { PeerSeen } from '../../net/advert-receiver.ts';
import type { AddressStatus } from '../../protocol/control.ts';

export function addressStatus(about: {
  readonly settings: AddressSettings;
  readonly snapshot: SnapshotFrom<typeof advertiserMachine>;
  /** ms, monotonic, as `since` and the peers' `at`. */
  readonly now: number;
  readonly since: number;
  readonly lastChange: (StateChange & { readonly time: string }) | null;
  readonly transport: string;
  readonly peers: readonly PeerSeen[];
  readonly counters: Readonly<Record<string, number>>;
  readonly waitsFor: string | null;
}): AddressStatus {
  const { settings, snapshot, now, lastChange } = about;
  const { context } = snapshot;
  const candidate = candidateOf(context);
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
    transport: about.transport,
    says: announcementOf(candidate),
    timers: {
      advertMs: advertIntervalMs(candidate),
      downMs: downIntervalMs(candidate),
      learnedMs: context.learnedMs,
    },
    preempt: context.settings.preempt,
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
    counters: about.counters,
  };
}

function holdOf(snapshot: SnapshotFrom<typeof advertiserMachine>): string | null {
  if (snapshot.matches({ BACKUP: 'flapping' })) return `flapping: ${snapshot.context.reason}`;
  return snapshot.matches({ BACKUP: 'holding' }) ? snapshot.context.reason : null;
}
