/** The chart of a group whose ports a test answers by hand. */
import { createActor, SimulatedClock } from 'xstate';

import { groupMachine, type HooksResult } from '../../machines/group.ts';
import type { Epoch } from '../../src/model/record.ts';
import { expectStates } from './expect-states.ts';
import { handPort } from './ports.ts';

export const EPOCH: Epoch = { number: 8, id: '00000000000000bb' };
export const HANGS: HooksResult = { ok: false, stuck: true, summary: '20-ext4 hangs' };
export const OK: HooksResult = { ok: true, stuck: false, summary: '' };

export function groupByHand(byHand = false) {
  const ports = {
    settleSecondary: handPort(),
    claimConsent: handPort(),
    fencePeer: handPort(),
    prepareMembers: handPort<Epoch>(),
    promoteMembers: handPort(),
    attachDevices: handPort(),
    startHooks: handPort<HooksResult>(),
    raiseAddress: handPort(),
    lowerAddress: handPort(),
    stopHooks: handPort<HooksResult>(),
    detachDevices: handPort(),
    releaseMembers: handPort(),
    handOver: handPort(),
    takeBack: handPort(),
  };
  const actors = Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, port.logic]));
  const clock = new SimulatedClock();
  const blocked: string[] = [];
  const machine = groupMachine.provide({
    actors: actors,
    actions: { reportBlocked: (_, { error }) => void blocked.push(error ?? '') },
  });
  const actor = createActor(machine, {
    clock,
    input: { group: 'storage', holdBaseMs: 1000, retryMs: 500, byHand },
  });
  const states = expectStates(actor);
  actor.start();
  return { ports, clock, actor, states, blocked };
}
