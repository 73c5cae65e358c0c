/** The groups of this node: those of hastate.yaml, and one by hand for each resource that none of them has. */
import { describeError } from '../../model/errors.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { Runtime } from '../runtime.ts';
import type { SharedAddresses } from './addresses.ts';
import type { AskPeer } from './agreement.ts';
import { byHandGroup } from './by-hand.ts';
import type { Devices } from './devices.ts';
import { Group } from './group.ts';
import type { AddressService, GroupServices } from './group-services.ts';
import type { GroupHooks } from './hooks.ts';
import { leaveFailed } from './leave-unfit.ts';
import type { Member } from './members.ts';
import { ServiceWatches } from './service-watches.ts';

const STOP_MS = 60_000;

export interface NodeGroupsOptions {
  readonly runtime: Runtime;
  readonly members: ReadonlyMap<string, Member>;
  readonly references: GroupServices['references'];
  readonly addresses: SharedAddresses;
  readonly devices: Devices;
  readonly hooks: GroupHooks;
  readonly askPeer: AskPeer;
  readonly fence: GroupServices['fence'];
  /** What is to be cleaned up changed. */
  tellKeeper(): void;
}

export class NodeGroups {
  readonly #options: NodeGroupsOptions;
  readonly #byName = new Map<string, Group>();
  readonly #watches: ServiceWatches;

  constructor(options: NodeGroupsOptions) {
    this.#options = options;
    this.#watches = new ServiceWatches({
      runtime: options.runtime,
      hooks: options.hooks,
      leave: (group, why) => this.#leave(group, why),
    });
  }

  get byName(): ReadonlyMap<string, Group> {
    return this.#byName;
  }

  /** The group that a resource moves with. */
  of(resource: string): Group | null {
    return [...this.#byName.values()].find(({ settings }) => settings.resources.includes(resource)) ?? null;
  }

  async start(): Promise<void> {
    const { runtime, members } = this.#options;
    for (const settings of runtime.settings.groups) await this.#add(settings, false);
    for (const resource of members.keys()) if (this.of(resource) === null) await this.addByHand(resource);
  }

  addByHand(resource: string): Promise<void> {
    return this.#add(byHandGroup(this.#options.runtime, resource), true);
  }

  async #add(settings: GroupSettings, byHand: boolean): Promise<void> {
    const { runtime, members: known, addresses } = this.#options;
    const members = settings.resources.flatMap((name) => known.get(name) ?? []);
    const address = settings.address === null ? null : await addresses.start(settings.name, settings.address);
    this.#options.tellKeeper();
    this.#byName.set(settings.name, new Group(runtime, settings, members, this.#services(address), byHand));
  }

  #services(address: AddressService | null): GroupServices {
    const { members: known, references, devices, hooks, askPeer, fence } = this.#options;
    return {
      allMembers: () => known.values(),
      references,
      obstacles: (group) => devices.obstacles(this.#byName.get(group)?.settings.resources ?? []),
      askPeer,
      fence,
      announceState: () => undefined,
      attachDevices: (group, members) => devices.attach(group, members),
      detachDevices: (group, members) => devices.detach(group, members),
      runHooks: (group, members, verb, call) => hooks.run(group, members, verb, call),
      watchServices: (group, members, call) => {
        this.#watches.begin(group, members, call);
      },
      unwatchServices: (group) => {
        this.#watches.end(group.name);
      },
      address,
    };
  }

  /** @throws HastateError why it stays */
  async #leave(name: string, why: string): Promise<void> {
    const group = this.#byName.get(name);
    if (group !== undefined) await leaveFailed(this.#options.runtime, group, why);
  }

  /** Demotes and forgets the group of a resource that goes. */
  async removeOf(resource: string, reason: string): Promise<void> {
    const group = this.of(resource);
    if (group === null) return;
    await group.demote(reason, null, STOP_MS);
    group.actor.stop();
    this.#byName.delete(group.settings.name);
    this.#options.runtime.charts.forget(`group.${group.settings.name}`);
  }

  /** All go down, to the peer where it is in sync. Never rejects. */
  async stop(): Promise<void> {
    const groups = [...this.#byName.values()];
    const results = await Promise.allSettled(groups.map((group) => group.stop(STOP_MS / 2)));
    for (const result of results)
      if (result.status === 'rejected') this.#options.runtime.log('error', describeError(result.reason));
  }

  /** Whatever they are at. */
  close(): void {
    this.#watches.close();
    for (const group of this.#byName.values()) group.actor.stop();
  }
}
