/** What a group asks of the parts around it. Types only. */
import type { HooksResult } from '../../../machines/group.ts';
import type { Epoch } from '../../model/record.ts';
import type { CarpState } from '../../model/roles.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { AddressStatus } from '../../protocol/control.ts';
import type { AskPeer } from './agreement.ts';
import type { ReferencesReached } from './evidence.ts';
import type { Fence } from './fence.ts';
import type { Member } from './members.ts';

/** Why a group's hooks run. */
export interface HookCall {
  readonly reason: string;
  readonly forced: boolean;
  readonly epoch: Epoch | null;
}

/** What a group needs besides its members. */
export interface GroupServices {
  readonly allMembers: () => Iterable<Member>;
  readonly references: ReferencesReached & { readonly lost: boolean; lostSince(at: number): boolean };
  readonly obstacles: (group: string) => readonly string[];
  readonly askPeer: AskPeer;
  readonly fence: Pick<Fence, 'at' | 'run'>;
  /** Tells the peer now instead of at the next heartbeat. */
  announceState(): void;
  attachDevices(group: GroupSettings, members: readonly Member[]): Promise<void>;
  detachDevices(group: GroupSettings, members: readonly Member[]): Promise<void>;
  runHooks(
    group: GroupSettings,
    members: readonly Member[],
    verb: 'start' | 'stop',
    call: HookCall,
  ): Promise<HooksResult>;
  /** The group serves: its services are watched until it goes. */
  watchServices(group: GroupSettings, members: readonly Member[], call: HookCall): void;
  unwatchServices(group: GroupSettings): void;
  readonly address: AddressService | null;
}

/** The group's shared address: raised last, lowered first. */
export interface AddressService {
  state(): CarpState;
  /** Why clients could not reach this node, or null: its link, or what it tracks. */
  readonly unfit: string | null;
  status(): AddressStatus;
  raise(): Promise<void>;
  /** @param rival another node is primary, or may be: it is not kept from the address until the group is released */
  lower(rival: boolean): Promise<void>;
  /** Primary and serving: takes the address back that a stranger's advert cost us. */
  reassert(): void;
  /** The group is down: another node may lead; `failed` says why it could not stay up. */
  released(failed: string | null): void;
  /** Whether this node may become MASTER at all. */
  eligible(may: boolean): void;
  /** An operator ends the hold for too many elections, or for a group that could not be primary. */
  clearHold(): void;
}
