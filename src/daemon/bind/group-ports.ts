/** The ports of a group's chart: members, devices, hooks, address and the peer's word. */
import { type Actor, fromPromise } from 'xstate';

import type { groupMachine } from '../../../machines/group.ts';
import type { Evidence } from '../../model/evidence.ts';
import { handoverRecords } from '../../model/handover.ts';
import type { Epoch } from '../../model/record.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { Runtime } from '../runtime.ts';
import { all } from './actors.ts';
import type { Agreement } from './agreement.ts';
import { recordsOf } from './evidence.ts';
import type { GroupServices, HookCall } from './group-services.ts';
import { checkReleased } from './member-checks.ts';
import type { Member } from './members.ts';
import { promotionOrder } from './promotion-order.ts';

/** Above the engine's own bound for a command: the chart must hear its answer. ms */
export const ROLE_MS = 40_000;

/** What the ports need of their group. */
export interface PortsOwner {
  readonly settings: GroupSettings;
  readonly members: readonly Member[];
  readonly actor: Actor<typeof groupMachine>;
  readonly epoch: Epoch;
  judge(): void;
}

export class GroupPorts {
  readonly #runtime: Runtime;
  readonly #group: PortsOwner;
  readonly #services: GroupServices;
  readonly #agreement: Agreement;
  /** What went up goes down as it went up, whatever the files say by then. */
  #upAs: GroupSettings;

  constructor(runtime: Runtime, group: PortsOwner, services: GroupServices, agreement: Agreement) {
    this.#runtime = runtime;
    this.#group = group;
    this.#services = services;
    this.#agreement = agreement;
    this.#upAs = group.settings;
  }

  bind(machine: typeof groupMachine): typeof groupMachine {
    const { members } = this.#group;
    const services = this.#services;
    return machine.provide({
      actions: {
        reportBlocked: (_, { error }) => {
          this.#reportBlocked(error);
        },
      },
      actors: {
        settleSecondary: fromPromise(async () => {
          await all(members.map((member) => member.beSecondary(ROLE_MS)));
          return undefined;
        }),
        claimConsent: fromPromise(() => this.#claim()),
        fencePeer: fromPromise(({ input }) => this.#fence(input.reason)),
        prepareMembers: fromPromise(({ input }) => this.#prepare(input.evidence)),
        promoteMembers: fromPromise(async () => {
          await all(members.map((member) => member.promote(ROLE_MS)));
          services.announceState();
          return undefined;
        }),
        attachDevices: fromPromise(async () => {
          this.#upAs = this.#group.settings;
          await services.attachDevices(this.#upAs, members);
          return undefined;
        }),
        startHooks: fromPromise(({ input }) =>
          services.runHooks(this.#upAs, members, 'start', this.#about(input.reason)),
        ),
        raiseAddress: fromPromise(async ({ input, signal }) => {
          await services.address?.raise();
          // The group may be on its way down meanwhile.
          if (!signal.aborted) services.watchServices(this.#upAs, members, this.#about(input.reason));
          return undefined;
        }),
        lowerAddress: fromPromise(async ({ input }) => {
          services.unwatchServices(this.#upAs);
          await services.address?.lower(input.rival);
          return undefined;
        }),
        stopHooks: fromPromise(({ input }) =>
          services.runHooks(this.#upAs, members, 'stop', this.#about(input.reason)),
        ),
        detachDevices: fromPromise(async () => {
          await services.detachDevices(this.#upAs, members);
          return undefined;
        }),
        releaseMembers: fromPromise(async ({ input }) => {
          await all(members.map((member) => member.release(input.handover, ROLE_MS)));
          return undefined;
        }),
        handOver: fromPromise(() => this.#handOver()),
        takeBack: fromPromise(() => this.#takeBack()),
      },
    });
  }

  #reportBlocked(error: string | null): void {
    const { name } = this.#group.settings;
    this.#runtime.journal.add({
      kind: 'group.blocked',
      level: 'warn',
      group: name,
      message: `${name}: ${error ?? 'blocked'}`,
    });
  }

  #about(reason: string): HookCall {
    const { context } = this.#group.actor.getSnapshot();
    const trigger = context.evidence?.trigger;
    return { reason, forced: trigger?.kind === 'operator' && trigger.force, epoch: context.epoch };
  }

  async #claim(): Promise<undefined> {
    await this.#agreement.claim();
    // After the chart is back in `waiting`.
    this.#runtime.clock.after(0, () => {
      this.#group.judge();
    });
    return undefined;
  }

  async #fence(reason: string): Promise<undefined> {
    const { delayMs } = this.#runtime.settings.fence;
    await this.#services.fence.run({ why: `${this.#group.settings.name}: ${reason}`, delayMs });
    return undefined;
  }

  async #prepare(evidence: Evidence | null): Promise<Epoch> {
    const { node, settings } = this.#runtime;
    const { members } = this.#group;
    const { name } = this.#group.settings;
    const known = Math.max(this.#group.epoch.number, this.#runtime.peer.report(name)?.epoch.number ?? 0);
    const epoch: Epoch = { number: known + 1, id: this.#runtime.randomId() };
    const order = promotionOrder(node, settings.peer?.name ?? null, epoch, evidence);
    await all(members.map((member) => member.prepare(order, ROLE_MS)));
    this.#runtime.peer.consumeConsent(name);
    this.#services.announceState();
    return epoch;
  }

  async #handOver(): Promise<undefined> {
    const { members, epoch } = this.#group;
    checkReleased(members);
    await this.#agreement.handOver(epoch, handoverRecords(recordsOf(members)));
    return undefined;
  }

  async #takeBack(): Promise<undefined> {
    await this.#agreement.settleBack(this.#group.epoch);
    await all(this.#group.members.map((member) => member.command({ type: 'unrelease' })));
    return undefined;
  }
}
