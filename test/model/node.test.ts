import { expect, it } from 'vitest';
import { createActor } from 'xstate';

import { nodeMachine } from '../../machines/node.ts';
import { expectStates } from '../support/expect-states.ts';
import { handPort } from '../support/ports.ts';

function build() {
  const ports = {
    cleanUp: handPort(),
    openResources: handPort(),
    startLink: handPort(),
    startGroups: handPort(),
    stopGroups: handPort(),
    closeAll: handPort(),
  };
  const { cleanUp, openResources, startLink, startGroups, stopGroups, closeAll } = ports;
  const machine = nodeMachine.provide({
    actors: {
      cleanUp: cleanUp.logic,
      openResources: openResources.logic,
      startLink: startLink.logic,
      startGroups: startGroups.logic,
      stopGroups: stopGroups.logic,
      closeAll: closeAll.logic,
    },
  });
  const actor = createActor(machine, { input: { node: 'hasta' } });
  const states = expectStates(actor);
  actor.start();
  return { ports, actor, states };
}

it('cleans up what an earlier life left before it opens a disk, and stops groups before it closes anything', async () => {
  const { ports, actor, states } = build();
  await ports.cleanUp.answer(undefined);
  await ports.openResources.answer(undefined);
  await ports.startLink.answer(undefined);
  await ports.startGroups.answer(undefined);
  actor.send({ type: 'STOP' });
  await ports.stopGroups.answer(undefined);
  await ports.closeAll.answer(undefined);
  states.toVisit([
    'cleaning',
    'opening',
    'linking',
    'starting',
    'running',
    'stoppingGroups',
    'closing',
    'stopped',
  ]);
});

it('goes on without what could not be cleaned up: the groups that it blocks say so', async () => {
  const { ports, actor } = build();
  await ports.cleanUp.fail('/mnt is busy');
  expect(actor.getSnapshot().matches('opening')).toBe(true);
  expect(actor.getSnapshot().context.error).toBe('/mnt is busy');
});

it('does not run without its peer channel and data link, and can still be stopped', async () => {
  const { ports, actor } = build();
  await ports.cleanUp.answer(undefined);
  await ports.openResources.answer(undefined);
  await ports.startLink.fail('127.0.0.1:8457 is in use');
  expect(actor.getSnapshot().matches('failed')).toBe(true);
  actor.send({ type: 'STOP' });
  await ports.stopGroups.answer(undefined);
  await ports.closeAll.answer(undefined);
  expect(actor.getSnapshot().status).toBe('done');
});
