import { beforeEach, describe, expect, it } from 'vitest';
import { createActor, type Actor } from 'xstate';

import { type PromotionOrder, resourceMachine } from '../../machines/resource.ts';
import { expectStates, type StateRecord } from '../support/expect-states.ts';
import { handPort } from '../support/ports.ts';

const ORDER: PromotionOrder = {
  epoch: { number: 8, id: '00000000000000bb' },
  inSync: ['hastb'],
  forced: false,
  heardBefore: null,
  earlierGone: false,
};

function build() {
  const ports = {
    openEngine: handPort<undefined, { resource: string }>(),
    becomeSecondary: handPort<undefined, { resource: string }>(),
    preparePrimary: handPort<undefined, { resource: string; order: PromotionOrder | null }>(),
    becomePrimary: handPort<undefined, { resource: string; order: PromotionOrder | null }>(),
    releaseEngine: handPort<undefined, { resource: string; handover: boolean }>(),
  };
  const { openEngine, becomeSecondary, preparePrimary, becomePrimary, releaseEngine } = ports;
  const machine = resourceMachine.provide({
    actors: {
      openEngine: openEngine.logic,
      becomeSecondary: becomeSecondary.logic,
      preparePrimary: preparePrimary.logic,
      becomePrimary: becomePrimary.logic,
      releaseEngine: releaseEngine.logic,
    },
  });
  const actor = createActor(machine, { input: { resource: 'disk1' } });
  const states = expectStates(actor);
  actor.start();
  return { ports, actor, states };
}

let ports: ReturnType<typeof build>['ports'];
let actor: Actor<typeof resourceMachine>;
let states: StateRecord;

beforeEach(() => {
  ({ ports, actor, states } = build());
});

async function becomePrimary(): Promise<void> {
  await ports.openEngine.answer(undefined);
  actor.send({ type: 'SECONDARY' });
  await ports.becomeSecondary.answer(undefined);
  actor.send({ type: 'PREPARE', order: ORDER });
  await ports.preparePrimary.answer(undefined);
  actor.send({ type: 'PROMOTE' });
  await ports.becomePrimary.answer(undefined);
}

describe('the role of a resource', () => {
  it('goes through the durable epoch before it serves', async () => {
    await becomePrimary();
    states.toVisit([
      'opening',
      'init',
      'becomingSecondary',
      'secondary.waiting',
      'preparing',
      'prepared',
      'promoting',
      'primary.peer.degraded+io.serving',
    ]);
    expect(ports.preparePrimary.calls).toEqual([{ resource: 'disk1', order: ORDER }]);
  });

  it('cannot be promoted without a prepared epoch', async () => {
    await ports.openEngine.answer(undefined);
    expect(actor.getSnapshot().can({ type: 'PROMOTE' })).toBe(false);
    actor.send({ type: 'SECONDARY' });
    await ports.becomeSecondary.answer(undefined);
    expect(actor.getSnapshot().can({ type: 'PROMOTE' })).toBe(false);
  });

  it('shows what the engine tells of the peer and of held I/O', async () => {
    await becomePrimary();
    states.restart();
    actor.send({ type: 'ENGINE.CONNECTED' });
    actor.send({ type: 'ENGINE.SYNC_STARTED' });
    actor.send({ type: 'ENGINE.SYNC_DONE' });
    actor.send({ type: 'ENGINE.HELD' });
    actor.send({ type: 'ENGINE.FROZEN' });
    actor.send({ type: 'ENGINE.THAWED' });
    states.toVisit([
      'primary.peer.degraded+io.serving',
      'primary.peer.complete+io.serving',
      'primary.peer.syncing+io.serving',
      'primary.peer.complete+io.serving',
      'primary.peer.complete+io.held',
      'primary.peer.complete+io.frozen',
      'primary.peer.complete+io.serving',
    ]);
  });

  it.each(['opening', 'secondary', 'primary'])(
    'says why it failed when the engine dies in %s',
    async (state) => {
      if (state === 'primary') await becomePrimary();
      if (state === 'secondary') {
        await ports.openEngine.answer(undefined);
        actor.send({ type: 'SECONDARY' });
        await ports.becomeSecondary.answer(undefined);
      }
      actor.send({ type: 'ENGINE.DIED', reason: 'its thread ended with code 1' });
      expect(actor.getSnapshot().matches('failed')).toBe(true);
      expect(actor.getSnapshot().context.error).toBe('its thread ended with code 1');
    },
  );

  it('can be opened again after a failure', async () => {
    await ports.openEngine.fail('/dev/ada1 is in use');
    expect(actor.getSnapshot().context.error).toBe('/dev/ada1 is in use');
    actor.send({ type: 'REOPEN' });
    await ports.openEngine.answer(undefined);
    expect(actor.getSnapshot().matches('init')).toBe(true);
    expect(actor.getSnapshot().context.error).toBeNull();
  });

  it('tells a handover from a plain release', async () => {
    await becomePrimary();
    actor.send({ type: 'RELEASE', handover: true });
    await ports.releaseEngine.answer(undefined);
    expect(ports.releaseEngine.calls).toEqual([{ resource: 'disk1', handover: true }]);
    expect(actor.getSnapshot().matches('init')).toBe(true);
  });
});
