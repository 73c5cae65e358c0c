/** Follows a reload's plan in a node that runs: groups and resources one by one, each failure on its own. */
import { describeError } from '../../model/errors.ts';
import { aloneNeeds } from '../../model/without-peer.ts';
import type { ResourceSettings } from '../../model/settings.ts';
import type { PeerCredentials } from '../../net/peer-channel-trust.ts';
import { CERTIFICATES, SECRETS, type ReloadPlan, type ResourceChange } from '../reload-plan.ts';
import type { Runtime } from '../runtime.ts';
import type { SharedAddresses } from './addresses.ts';
import type { Group } from './group.ts';
import type { Member } from './members.ts';

const CHANGE_MS = 60_000;
const OPEN_MS = 30_000;

export interface ReloadTarget {
  readonly runtime: Runtime;
  readonly members: ReadonlyMap<string, Member>;
  readonly groups: ReadonlyMap<string, Group>;
  groupOf(resource: string): Group | null;
  /** Opens it, in role init. */
  add(settings: ResourceSettings): Promise<void>;
  /** Role init, closed, forgotten. */
  remove(resource: string): Promise<void>;
  readonly addresses: Pick<SharedAddresses, 'reload'>;
  /** The peer channel has other secrets or certificates from now on. */
  rekey(credentials: PeerCredentials): void;
  listen(addresses: readonly string[]): Promise<void>;
  /** The references may be others now. */
  lookAtReferences(): void;
}

/** @returns what went wrong */
export async function followPlan(plan: ReloadPlan, target: ReloadTarget): Promise<string[]> {
  const { runtime, members, groups } = target;
  const problems: string[] = [];
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    await work().catch((error: unknown) => problems.push(`${what}: ${describeError(error)}`));
  };
  // Its programs are still told of its end.
  for (const name of plan.removed) await attempt(name, () => target.remove(name));
  const listen = runtime.hast.listen;
  runtime.hast = plan.hast;
  runtime.settings = plan.settings;
  runtime.secret = plan.secret;
  runtime.certificates = plan.certificates;
  for (const settings of plan.groups) {
    const group = groups.get(settings.name);
    if (group !== undefined) group.settings = settings;
  }
  for (const [name, member] of members) member.lease.setAloneNeeds(aloneNeeds(plan.settings, name));
  target.lookAtReferences();
  problems.push(...(await target.addresses.reload(plan.settings.groups)));
  for (const change of plan.changed) {
    const member = members.get(change.after.name);
    if (member !== undefined) await attempt(change.after.name, () => changeMember(member, change, target));
  }
  const changed = new Set(plan.changed.map(({ after }) => after.name));
  for (const member of members.values()) {
    const { name } = member.settings;
    if (changed.has(name) || member.engine.running) continue;
    // An operator may have brought the disk back. Who tries again by itself is left alone.
    const group = target.groupOf(name);
    if (group !== null && ['idle', 'standby.waiting'].includes(group.state))
      await attempt(name, () => member.reopen(member.settings, roleIn(group), OPEN_MS));
  }
  const credentials = plan.certificates ?? plan.secret;
  if ([SECRETS, CERTIFICATES].some((what) => plan.applied.includes(what)) && credentials !== null) {
    target.rekey(credentials);
    for (const [name, member] of members) await attempt(name, () => member.rekey());
  }
  for (const settings of plan.added) await attempt(settings.name, () => target.add(settings));
  if (plan.applied.includes('listen')) {
    await attempt('listen', async () => {
      try {
        await target.listen(plan.hast.listen);
      } catch (error) {
        runtime.hast = { ...runtime.hast, listen };
        throw error;
      }
    });
  }
  for (const group of groups.values()) group.judge();
  return problems;
}

async function changeMember(
  member: Member,
  { after, reopen }: ResourceChange,
  target: ReloadTarget,
): Promise<void> {
  if (!reopen) {
    await member.configure(after);
    return;
  }
  const group = target.groupOf(after.name);
  const byHand = group?.byHand === true && group.role === 'primary';
  if (group?.role === 'primary') {
    // Else it would be promoted again at once.
    member.retire('it is about to be opened with other settings');
    await group.demote(`'local' or 'name' of ${after.name} changed in hast.conf`, null, CHANGE_MS);
  }
  await member.reopen(after, roleIn(group), OPEN_MS);
  if (byHand) await group.promote({ kind: 'operator', force: false, reason: null }, 'serving', CHANGE_MS);
}

/** What a member of a group that is not primary is. */
function roleIn(group: Group | null): 'init' | 'secondary' {
  return group?.state.startsWith('standby') === true ? 'secondary' : 'init';
}
