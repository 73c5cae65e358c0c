/** Binds a story's charts to its ports, as src/daemon/bind does to engines, devices, hooks and addresses. */
import { fromPromise, type PromiseActorLogic, waitFor } from 'xstate';

import type { groupMachine, HooksResult, Scope } from '../../../machines/group.ts';
import { resourceMachine, type ResourceMachineEvent } from '../../../machines/resource.ts';
import { promotionOrder } from '../../../src/daemon/bind/promotion-order.ts';
import { all } from '../../../src/daemon/bind/actors.ts';
import { groupEpoch } from '../../../src/model/decision.ts';
import type { Epoch } from '../../../src/model/record.ts';
import type { StoryNode } from './story-node.ts';
import type { Outcome, StoryPorts } from './story-ports.ts';

export function bindResource(name: string, ports: StoryPorts): typeof resourceMachine {
  const call = (port: string) => () => ports.call(port, name).then(() => undefined);
  return resourceMachine.provide({
    actors: {
      openEngine: fromPromise(call('openEngine')),
      becomeSecondary: fromPromise(call('becomeSecondary')),
      preparePrimary: fromPromise(call('preparePrimary')),
      becomePrimary: fromPromise(call('becomePrimary')),
      releaseEngine: fromPromise(call('releaseEngine')),
    },
  });
}

function step<Input>(work: () => Promise<unknown>): PromiseActorLogic<undefined, Input> {
  return fromPromise<undefined, Input>(async () => {
    await work();
    return undefined;
  });
}

const hooksResult = (outcome: Outcome): HooksResult => ({
  ok: outcome === 'ok',
  stuck: outcome === 'stuck',
  summary: outcome === 'ok' ? '' : `10-hook ${outcome}`,
});

export function bindGroup(machine: typeof groupMachine, node: StoryNode): typeof groupMachine {
  const { ports } = node;
  const said = (port: string) => step<Scope>(() => ports.call(port));
  const hooks = (port: string) => fromPromise<HooksResult, Scope>(() => ports.call(port).then(hooksResult));
  return machine.provide({
    actions: { reportBlocked: () => undefined },
    actors: {
      settleSecondary: step(() => drive(node, { type: 'SECONDARY' }, 'secondary')),
      claimConsent: step(async () => {
        await ports.call('claimConsent');
        node.tell({ consentUntil: node.evidence().now + 1500 });
      }),
      fencePeer: step(async () => {
        await ports.call('fencePeer');
        node.learn({ fencedAt: node.evidence().now });
      }),
      prepareMembers: fromPromise(async ({ input }) => {
        const evidence = node.evidence();
        const known = Math.max(groupEpoch(evidence.members).number, evidence.report?.epoch.number ?? 0);
        const epoch: Epoch = { number: known + 1, id: '00000000000000bb' };
        const order = promotionOrder('hastb', evidence.peer, epoch, input.evidence);
        await drive(node, { type: 'PREPARE', order }, 'prepared');
        return epoch;
      }),
      promoteMembers: step(() => drive(node, { type: 'PROMOTE' }, 'primary')),
      attachDevices: said('attachDevices'),
      startHooks: hooks('startHooks'),
      raiseAddress: said('raiseAddress'),
      lowerAddress: step(() => ports.call('lowerAddress')),
      stopHooks: hooks('stopHooks'),
      detachDevices: said('detachDevices'),
      releaseMembers: fromPromise(async ({ input }) => {
        await drive(node, { type: 'RELEASE', handover: input.handover }, 'init');
        node.learn({ released: input.handover });
        return undefined;
      }),
      handOver: step(async () => {
        await ports.call('handOver');
        node.tell({ primary: true });
      }),
      takeBack: step(async () => {
        await ports.call('takeBack');
        node.learn({ released: false });
      }),
    },
  });
}

/** As the daemon's members are driven. */
async function drive(
  node: StoryNode,
  event: ResourceMachineEvent,
  goal: 'secondary' | 'prepared' | 'primary' | 'init',
): Promise<void> {
  await all(
    [...node.resources].map(async ([name, actor]) => {
      await waitFor(actor, (s) => !s.matches('opening'));
      if (actor.getSnapshot().matches(goal)) return;
      if (event.type === 'SECONDARY' && actor.getSnapshot().matches('failed')) {
        actor.send({ type: 'REOPEN' });
        await waitFor(actor, (s) => !s.matches('opening'));
      }
      if (!actor.getSnapshot().matches('failed') || event.type === 'RELEASE') actor.send(event);
      const ended = await waitFor(actor, (s) => s.matches(goal) || s.matches('failed'));
      if (ended.matches('failed')) throw new Error(`${name}: ${ended.context.error ?? ''}`);
    }),
  );
}
