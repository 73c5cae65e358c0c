/** Looks at all members of a group at once. */
import { HastateError } from '../../model/errors.ts';
import type { Runtime } from '../runtime.ts';
import type { Member } from './members.ts';
import { wentApart } from './record-exchange.ts';

/** Why the peer could not take a group over right now without loss, or null when it could. */
export function peerReady(runtime: Runtime, members: readonly Member[]): string | null {
  const peer = runtime.settings.peer?.name ?? null;
  if (peer === null) return 'there is no other node';
  if (!runtime.peer.channelUp) return `${peer} cannot be asked: the peer channel is down`;
  for (const member of members) {
    const { settings, snapshot } = member;
    if (snapshot === null) return `${settings.name} is not open`;
    if (wentApart(runtime, member))
      return `${settings.name}: split-brain, both disks went on apart: decide which copy to keep with 'hastate resolve ${settings.name} --discard NODE'`;
    if (!snapshot.dataLinkUp) return `${settings.name}: ${peer} is not connected`;
    if (snapshot.sync !== null) return `${settings.name}: ${peer} is still resyncing`;
    if (snapshot.joining) return `${settings.name}: ${peer} is just getting in sync`;
    if (!snapshot.record.inSync.includes(peer)) return `${settings.name}: ${peer} is not in sync`;
  }
  return null;
}

/**
 * Why a group that is up cannot stay up, or null.
 * @param peerWaits the other node could take over without loss
 */
export function brokenMember(members: readonly Member[], peerWaits: boolean): string | null {
  for (const { settings, engine, snapshot, frozen, error } of members) {
    if (!engine.running) return `${settings.name}: ${error ?? 'its engine died'}`;
    if (frozen) return `${settings.name}: the peer has a newer epoch`;
    if (engine.stalled) return `${settings.name}: ${error ?? 'its engine does not move'}`;
    if (snapshot?.diskHangs === true && peerWaits)
      return `${settings.name}: ${snapshot.diskError ?? 'its disk hangs'}`;
    if (snapshot !== null && snapshot.role !== 'primary')
      return `${settings.name} is ${snapshot.role} and not primary`;
  }
  return null;
}

/** @throws HastateError `not-released` when a member may hold writes that the other node lacks */
export function checkReleased(members: readonly Member[]): void {
  const kept = members.find(({ snapshot }) => snapshot?.record.released !== true);
  if (kept === undefined) return;
  throw new HastateError(
    'not-released',
    `${kept.settings.name} lost touch with the other node on the way and may hold writes that it lacks: no handover`,
  );
}

/** B5: what the peer is told of this node's health. */
export function isIll({ error, snapshot }: Member): boolean {
  return error !== null || (snapshot?.diskError ?? null) !== null;
}

/** The record of some member calls `peer` in sync. */
export function namesPeer(members: readonly Member[], peer: string | null): boolean {
  return peer !== null && members.some(({ snapshot }) => snapshot?.record.inSync.includes(peer) === true);
}
