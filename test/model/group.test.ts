import { beforeEach, describe, expect, it } from 'vitest';
import type { Actor, SimulatedClock } from 'xstate';

import type { groupMachine } from '../../machines/group.ts';
import { evidenceOf, type Given } from '../support/evidence.ts';
import type { StateRecord } from '../support/expect-states.ts';
import { EPOCH, groupByHand, HANGS, OK } from '../support/group-by-hand.ts';
import { settled } from '../support/ports.ts';

type Built = ReturnType<typeof groupByHand>;
let ports: Built['ports'];
let clock: SimulatedClock;
let actor: Actor<typeof groupMachine>;
let states: StateRecord;

function evaluate(given: Given = {}): void {
  actor.send({
    type: 'EVALUATE',
    evidence: evidenceOf(given),
    wishes: { advert: null, prefer: null, onHold: false },
  });
}

async function goUp(): Promise<void> {
  evaluate();
  await ports.prepareMembers.answer(EPOCH);
  await ports.promoteMembers.answer(undefined);
  await ports.attachDevices.answer(undefined);
  await ports.startHooks.answer(OK);
  await ports.raiseAddress.answer(undefined);
}

beforeEach(async () => {
  ({ ports, clock, actor, states } = groupByHand());
  await ports.settleSecondary.answer(undefined);
  states.restart();
});

describe('going up', () => {
  it('records the epoch, becomes primary, attaches, starts hooks and raises the address last', async () => {
    await goUp();
    states.toVisit([
      'standby.waiting',
      'promoting.recording',
      'promoting.opening',
      'promoting.attaching',
      'promoting.startingHooks',
      'primary.raisingAddress',
      'primary.serving',
    ]);
  });

  it('touches no disk before the epoch is durable on every member', () => {
    evaluate();
    expect(ports.prepareMembers.waiting).toBe(1);
    expect(ports.promoteMembers.calls).toEqual([]);
    expect(ports.startHooks.calls).toEqual([]);
  });

  it('stays where it is while the peer is a healthy primary', () => {
    evaluate({ heardAt: { peerChannel: 9990 } });
    states.toVisit(['standby.waiting']);
    expect(actor.getSnapshot().context.verdict?.answer).toBe('wait');
  });

  it('asks a living peer that is not primary for its consent first', async () => {
    evaluate({ heardAt: { peerChannel: 9990 }, report: { primary: false, candidate: false } });
    states.toVisit(['standby.waiting', 'standby.claiming']);
    await ports.claimConsent.answer(undefined);
    evaluate({
      heardAt: { peerChannel: 9990 },
      report: { primary: false, candidate: false, consentUntil: 11_000 },
    });
    states.toVisit(['standby.waiting', 'standby.claiming', 'standby.waiting', 'promoting.recording']);
  });

  it('fences a silent peer first where the policy wants it, and waits before it tries again', async () => {
    evaluate({ policy: 'consistent' });
    states.toVisit(['standby.waiting', 'standby.fencing']);
    await ports.fencePeer.fail('no answer from its controller');
    states.toVisit(['standby.waiting', 'standby.fencing', 'standby.refused']);
    clock.increment(500);
    evaluate({ policy: 'consistent' });
    await ports.fencePeer.answer(undefined);
    expect(actor.getSnapshot().value).toEqual({ standby: 'waiting' });
    evaluate({ policy: 'consistent', fencedAt: 9999 });
    expect(actor.getSnapshot().value).toEqual({ promoting: 'recording' });
  });

  it('fences nobody while something else is in the way', () => {
    evaluate({ policy: 'consistent', obstacles: ['/mnt is still mounted'] });
    evaluate({ policy: 'consistent', references: { configured: 3, reached: 1 } });
    states.toVisit(['standby.waiting']);
  });

  it('waits before it asks again when the peer did not agree', async () => {
    evaluate({ heardAt: { peerChannel: 9990 }, report: { primary: false, candidate: false } });
    await ports.claimConsent.fail('the peer claims it too');
    states.toVisit(['standby.waiting', 'standby.claiming', 'standby.refused']);
    clock.increment(500);
    states.toVisit(['standby.waiting', 'standby.claiming', 'standby.refused', 'standby.waiting']);
  });
});

describe('a promotion that fails', () => {
  it('rolls a failed hook down in order and holds off', async () => {
    evaluate();
    await ports.prepareMembers.answer(EPOCH);
    await ports.promoteMembers.answer(undefined);
    await ports.attachDevices.answer(undefined);
    await ports.startHooks.answer({ ok: false, stuck: false, summary: '20-ext4 start: exit 1' });
    await ports.stopHooks.answer(OK);
    await ports.detachDevices.answer(undefined);
    await ports.releaseMembers.answer(undefined);
    states.toVisit([
      'standby.waiting',
      'promoting.recording',
      'promoting.opening',
      'promoting.attaching',
      'promoting.startingHooks',
      'demoting.stoppingHooks',
      'demoting.detaching',
      'demoting.releasing',
      'holding',
    ]);
    expect(ports.raiseAddress.calls).toEqual([]);
  });

  it('holds longer each time', async () => {
    const holds: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      evaluate();
      await ports.prepareMembers.fail('disk full');
      await ports.releaseMembers.answer(undefined);
      let ms = 0;
      while (actor.getSnapshot().matches('holding')) {
        clock.increment(500);
        ms += 500;
      }
      holds.push(ms);
      await ports.settleSecondary.answer(undefined);
    }
    expect(holds).toEqual([1000, 2000, 4000]);
  });

  it('holds no longer when an operator says so, and starts from the first delay again', async () => {
    for (let round = 0; round < 3; round += 1) {
      evaluate();
      await ports.prepareMembers.fail('disk full');
      await ports.releaseMembers.answer(undefined);
      expect(actor.getSnapshot().value).toBe('holding');
      actor.send({ type: 'RETRY' });
      await ports.settleSecondary.answer(undefined);
      expect(actor.getSnapshot().value).toEqual({ standby: 'waiting' });
      expect(actor.getSnapshot().context).toMatchObject({ failures: 0, error: null });
    }
  });

  it('forgets earlier failures once it serves', async () => {
    evaluate();
    await ports.prepareMembers.fail('disk full');
    await ports.releaseMembers.answer(undefined);
    clock.increment(1000);
    await ports.settleSecondary.answer(undefined);
    await goUp();
    expect(actor.getSnapshot().context.failures).toBe(0);
  });

  it('is stuck when something of a start hook cannot be ended', async () => {
    evaluate();
    await ports.prepareMembers.answer(EPOCH);
    await ports.promoteMembers.answer(undefined);
    await ports.attachDevices.answer(undefined);
    await ports.startHooks.answer(HANGS);
    await ports.detachDevices.answer(undefined);
    await ports.stopHooks.answer(HANGS);
    await ports.releaseMembers.answer(undefined);
    expect(actor.getSnapshot().matches('stuck')).toBe(true);
  });

  it('takes an address that cannot be raised as a failure of the whole', async () => {
    evaluate();
    await ports.prepareMembers.answer(EPOCH);
    await ports.promoteMembers.answer(undefined);
    await ports.attachDevices.answer(undefined);
    await ports.startHooks.answer(OK);
    await ports.raiseAddress.fail('RTNETLINK: Operation not permitted');
    expect(actor.getSnapshot().matches({ demoting: 'loweringAddress' })).toBe(true);
  });
});

describe('going down', () => {
  beforeEach(async () => {
    await goUp();
    states.restart();
  });

  it('lowers the address first, then hooks, devices and roles, then hands over', async () => {
    actor.send({ type: 'DEMOTE', reason: 'switchover to hasta', handoverTo: 'hasta' });
    await ports.lowerAddress.answer(undefined);
    await ports.stopHooks.answer(OK);
    await ports.detachDevices.answer(undefined);
    await ports.releaseMembers.answer(undefined);
    await ports.handOver.answer(undefined);
    await ports.settleSecondary.answer(undefined);
    states.toVisit([
      'primary.serving',
      'demoting.loweringAddress',
      'demoting.stoppingHooks',
      'demoting.detaching',
      'demoting.releasing',
      'demoting.handingOver',
      'standby.settling',
      'standby.waiting',
    ]);
    expect(ports.releaseMembers.calls).toMatchObject([{ handover: true }]);
  });

  it('stops the hooks even when the address cannot be lowered', async () => {
    actor.send({ type: 'DEMOTE', reason: 'newer epoch', handoverTo: null });
    await ports.lowerAddress.fail('ip: timeout');
    expect(actor.getSnapshot().matches({ demoting: 'stoppingHooks' })).toBe(true);
  });

  it('goes on to force the device away when a stop hook failed', async () => {
    actor.send({ type: 'DEMOTE', reason: 'newer epoch', handoverTo: null });
    await ports.lowerAddress.answer(undefined);
    await ports.stopHooks.answer({ ok: false, stuck: false, summary: 'busy' });
    expect(actor.getSnapshot().matches({ demoting: 'detaching' })).toBe(true);
    expect(actor.getSnapshot().context.error).toBe('busy');
  });

  it('is stuck, and never primary again, while a hook cannot be ended or a device not be removed', async () => {
    actor.send({ type: 'DEMOTE', reason: 'newer epoch', handoverTo: null });
    await ports.lowerAddress.answer(undefined);
    await ports.stopHooks.answer(HANGS);
    await ports.detachDevices.fail('/dev/loop0 is held by 4711');
    await ports.stopHooks.answer(HANGS);
    // The exports are closed first, so that the other node may take over.
    expect(actor.getSnapshot().matches('closing')).toBe(true);
    await ports.releaseMembers.answer(undefined);
    expect(actor.getSnapshot().matches('stuck')).toBe(true);
    evaluate();
    expect(actor.getSnapshot().matches('stuck')).toBe(true);
    actor.send({ type: 'RETRY' });
    await ports.stopHooks.answer(OK);
    await ports.detachDevices.fail('/dev/loop0 is held by 4711');
    await ports.releaseMembers.answer(undefined);
    expect(actor.getSnapshot().matches('stuck')).toBe(true);
  });

  it('takes the device away from under a hook that hangs, then stops what is left and goes on in order', async () => {
    actor.send({ type: 'DEMOTE', reason: 'switchover to hasta', handoverTo: 'hasta' });
    await ports.lowerAddress.answer(undefined);
    await ports.stopHooks.answer(HANGS);
    await ports.detachDevices.answer(undefined);
    expect(actor.getSnapshot().matches({ demoting: 'stoppingRest' })).toBe(true);
    await ports.stopHooks.answer(OK);
    await ports.detachDevices.answer(undefined);
    await ports.releaseMembers.answer(undefined);
    expect(ports.releaseMembers.calls).toMatchObject([{ handover: true }]);
    expect(ports.handOver.waiting).toBe(1);
  });

  it('tries by itself to get unstuck, since holders may have ended', async () => {
    actor.send({ type: 'DEMOTE', reason: 'newer epoch', handoverTo: null });
    await ports.lowerAddress.answer(undefined);
    await ports.stopHooks.answer(OK);
    await ports.detachDevices.fail('/dev/loop0 is held by 4711');
    await ports.releaseMembers.answer(undefined);
    clock.increment(10_000);
    await ports.stopHooks.answer(OK);
    await ports.detachDevices.answer(undefined);
    await ports.releaseMembers.answer(undefined);
    await ports.settleSecondary.answer(undefined);
    expect(actor.getSnapshot().matches('standby')).toBe(true);
  });

  it('asks for the epoch back when nobody took it', async () => {
    actor.send({ type: 'DEMOTE', reason: 'switchover to hasta', handoverTo: 'hasta' });
    await ports.lowerAddress.answer(undefined);
    await ports.stopHooks.answer(OK);
    await ports.detachDevices.answer(undefined);
    await ports.releaseMembers.answer(undefined);
    await ports.handOver.fail('no answer');
    expect(ports.takeBack.waiting).toBe(1);
    await ports.takeBack.answer(undefined);
    expect(actor.getSnapshot().matches('standby')).toBe(true);
    expect(actor.getSnapshot().context.handover).toBe(false);
  });

  it('stops for good when the daemon stops', async () => {
    actor.send({ type: 'STOP', handoverTo: null });
    await ports.lowerAddress.answer(undefined);
    await ports.stopHooks.answer(OK);
    await ports.detachDevices.answer(undefined);
    await ports.releaseMembers.answer(undefined);
    expect(actor.getSnapshot().status).toBe('done');
  });
});

it('finishes a promotion before it obeys a stop', async () => {
  evaluate();
  actor.send({ type: 'STOP', handoverTo: null });
  await ports.prepareMembers.answer(EPOCH);
  await ports.promoteMembers.answer(undefined);
  await ports.attachDevices.answer(undefined);
  await ports.startHooks.answer(OK);
  await settled();
  expect(actor.getSnapshot().matches({ demoting: 'loweringAddress' })).toBe(true);
});

it('leaves a resource outside any group without a role until a person gives one', () => {
  const { actor: byHand } = groupByHand(true);
  expect(byHand.getSnapshot().matches('idle')).toBe(true);
});

describe('a resource outside any group that is given role init while it becomes secondary', () => {
  const leave = (): Built => {
    const built = groupByHand(true);
    built.actor.send({ type: 'SECONDARY' });
    built.actor.send({ type: 'DEMOTE', reason: 'a person', handoverTo: null });
    expect(built.ports.releaseMembers.calls).toEqual([]);
    return built;
  };

  it.each(['answer', 'fail'] as const)(
    'is released when that has ended with %s, and not before',
    async (how) => {
      const built = leave();
      if (how === 'answer') await built.ports.settleSecondary.answer(undefined);
      else await built.ports.settleSecondary.fail('in use');
      built.states.toVisit(['idle', 'standby.settling', 'demoting.releasing']);
      await built.ports.releaseMembers.answer(undefined);
      expect(built.actor.getSnapshot().matches('idle')).toBe(true);
    },
  );

  it('stays secondary when it is given that role afterwards', async () => {
    const built = leave();
    await built.ports.settleSecondary.answer(undefined);
    await built.ports.releaseMembers.answer(undefined);
    built.actor.send({ type: 'SECONDARY' });
    await built.ports.settleSecondary.answer(undefined);
    expect(built.actor.getSnapshot().matches({ standby: 'waiting' })).toBe(true);
  });
});

it('tries again when some member cannot be secondary', async () => {
  const fresh = groupByHand();
  await fresh.ports.settleSecondary.fail('disk1: in use');
  expect(fresh.blocked).toEqual(['disk1: in use']);
  fresh.clock.increment(500);
  expect(fresh.ports.settleSecondary.waiting).toBe(1);
});

describe('the engine of a member that dies in standby', () => {
  const lose = (): void => actor.send({ type: 'MEMBER.LOST', reason: 'disk1: engine died' });

  it('makes the group settle again, after a pause, and the reason is told', async () => {
    lose();
    expect(actor.getSnapshot().matches({ standby: 'unsettled' })).toBe(true);
    expect(actor.getSnapshot().context.error).toBe('disk1: engine died');
    expect(ports.settleSecondary.waiting).toBe(0);
    clock.increment(500);
    await ports.settleSecondary.answer(undefined);
    expect(actor.getSnapshot().matches({ standby: 'waiting' })).toBe(true);
  });

  it('told again does not put the next attempt off', () => {
    lose();
    clock.increment(400);
    lose();
    clock.increment(100);
    expect(ports.settleSecondary.waiting).toBe(1);
  });
});
