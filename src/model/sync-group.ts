/**
 * Addresses that move together: what one of them does, the others are told to do. Pure.
 * @see carp-vrrp 2.4
 */
import type { CarpState } from './roles.ts';

/** Begins the name of a fault that another member has. */
export const SYNC_FAULT = 'sync group: ';

/** The fault to name first: one's own before that of another member; null when there is none. */
export function ownFault(faults: readonly string[]): string | null {
  return faults.find((by) => !by.startsWith(SYNC_FAULT)) ?? faults[0] ?? null;
}

export interface SyncMember {
  readonly name: string;
  readonly state: CarpState;
  /** What it cannot lead without and does not have itself, or null. */
  readonly fault: string | null;
}

export interface SyncOrder {
  readonly to: string;
  readonly order: 'lead' | 'yield' | 'fault' | 'fault-over';
  /** The member because of which. */
  readonly by: string;
}

/** One member was elected or lost: the others follow. A fault of any is a fault of all, see `syncFaults`. */
export function syncTurn(members: readonly SyncMember[], by: string, to: CarpState): SyncOrder[] {
  const others = members.filter(({ name }) => name !== by);
  // While one is at fault none leads.
  if (to === 'MASTER' && members.every(({ fault }) => fault === null)) {
    return others
      .filter(({ state }) => state === 'BACKUP')
      .map(({ name }) => ({ to: name, order: 'lead', by }));
  }
  if (to !== 'BACKUP') return [];
  return others
    .filter(({ state }) => state === 'MASTER')
    .map(({ name }) => ({ to: name, order: 'yield', by }));
}

/** What the others are told when the fault of one came or went. */
export function syncFaults(members: readonly SyncMember[], by: string): SyncOrder[] {
  const member = members.find(({ name }) => name === by);
  if (member === undefined) return [];
  const order = member.fault === null ? 'fault-over' : 'fault';
  return members.filter(({ name }) => name !== by).map(({ name }) => ({ to: name, order, by }));
}
