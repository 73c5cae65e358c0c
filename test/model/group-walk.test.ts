/** Any sequence of answers, failures, commands and pauses: the order of going up and down holds. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createActor, fromPromise, SimulatedClock } from 'xstate';

import { groupMachine, type HooksResult } from '../../machines/group.ts';
import { evidenceOf } from '../support/evidence.ts';
import { settled } from '../support/ports.ts';

const PORTS = [
  'settleSecondary',
  'claimConsent',
  'fencePeer',
  'prepareMembers',
  'promoteMembers',
  'attachDevices',
  'startHooks',
  'raiseAddress',
  'lowerAddress',
  'stopHooks',
  'detachDevices',
  'releaseMembers',
  'handOver',
  'takeBack',
] as const;
type PortName = (typeof PORTS)[number];

/** Each has to have succeeded, in this order, since the group was last down, before the address goes up. */
const WAY_UP: readonly PortName[] = ['prepareMembers', 'promoteMembers', 'attachDevices', 'startHooks'];

type Step =
  | 'answer'
  | 'fail'
  | 'stuck'
  | 'evaluate'
  | 'evaluate-consent'
  | 'demote'
  | 'handover'
  | 'retry'
  | 'wait'
  | 'stop';
const STEPS: readonly Step[] = [
  'answer',
  'answer',
  'answer',
  'answer',
  'fail',
  'stuck',
  'evaluate',
  'evaluate',
  'evaluate-consent',
  'demote',
  'handover',
  'retry',
  'wait',
];

interface Call {
  readonly name: PortName;
  readonly settle: (kind: 'answer' | 'fail' | 'stuck') => void;
}

function walker() {
  const waiting: Call[] = [];
  const succeeded: PortName[] = [];
  const called: PortName[] = [];
  const broken: string[] = [];
  /** A hook that cannot be ended: then the exports are closed at once, whatever is still attached (C3). */
  let hookStuck = false;
  const logic = (name: PortName) =>
    fromPromise(() => {
      called.push(name);
      check(name);
      return new Promise<unknown>((resolve, reject) => {
        waiting.push({
          name,
          settle: (kind) => {
            const hooks: HooksResult = { ok: kind === 'answer', stuck: kind === 'stuck', summary: kind };
            const isHooks = name === 'startHooks' || name === 'stopHooks';
            hookStuck = isHooks && kind === 'stuck';
            if (kind !== 'answer' && !isHooks) {
              reject(new Error('port failed'));
              return;
            }
            if (kind === 'answer') succeeded.push(name);
            resolve(
              isHooks ? hooks : name === 'prepareMembers' ? { number: 8, id: '00000000000000bb' } : undefined,
            );
          },
        });
      });
    });
  /** The rules of C1, looked at when a port is about to act. */
  const check = (name: PortName): void => {
    if (name === 'raiseAddress') {
      const lastDown = Math.max(
        succeeded.lastIndexOf('releaseMembers'),
        succeeded.lastIndexOf('settleSecondary'),
      );
      const since = succeeded.slice(lastDown + 1).filter((port) => WAY_UP.includes(port));
      if (since.join() !== WAY_UP.join()) broken.push(`address raised after ${since.join(', ')}`);
    }
    if (name === 'releaseMembers' && !hookStuck && called.includes('raiseAddress')) {
      const up = called.lastIndexOf('raiseAddress');
      const after = called.slice(up);
      if (!called.slice(called.lastIndexOf('prepareMembers')).includes('raiseAddress')) return;
      for (const needed of ['lowerAddress', 'stopHooks', 'detachDevices'] as const) {
        if (!after.includes(needed)) broken.push(`released without ${needed} after the address was up`);
      }
    }
    if (name === 'startHooks' && succeeded.at(-1) !== 'attachDevices')
      broken.push('hooks started before the device was there');
    // The advertiser takes an address back that is still going up; everything else waits for its turn.
    const mayInterrupt = name === 'lowerAddress' && waiting.every((call) => call.name === 'raiseAddress');
    if (waiting.length > 0 && !mayInterrupt)
      broken.push(`${name} began while ${waiting.map((call) => call.name).join()} was not done`);
  };
  const actors = Object.fromEntries(PORTS.map((name) => [name, logic(name)]));
  const clock = new SimulatedClock();
  const machine = groupMachine.provide({
    actors: actors,
    actions: { reportBlocked: () => undefined },
  });
  const actor = createActor(machine, {
    clock,
    input: { group: 'storage', holdBaseMs: 1000, retryMs: 500, byHand: false },
  });
  actor.start();
  return { waiting, broken, clock, actor };
}

async function take(walk: ReturnType<typeof walker>, step: Step): Promise<void> {
  const { waiting, clock, actor } = walk;
  const wishes = { advert: null, prefer: null, onHold: false };
  switch (step) {
    case 'answer':
    case 'fail':
    case 'stuck':
      waiting.shift()?.settle(step);
      break;
    case 'evaluate':
      actor.send({ type: 'EVALUATE', evidence: evidenceOf(), wishes });
      break;
    case 'evaluate-consent':
      actor.send({
        type: 'EVALUATE',
        evidence: evidenceOf({
          heardAt: { peerChannel: 9990 },
          report: { primary: false, candidate: false },
        }),
        wishes,
      });
      break;
    case 'demote':
      actor.send({ type: 'DEMOTE', reason: 'test', handoverTo: null });
      break;
    case 'handover':
      actor.send({ type: 'DEMOTE', reason: 'test', handoverTo: 'hasta' });
      break;
    case 'retry':
      actor.send({ type: 'RETRY' });
      break;
    case 'wait':
      clock.increment(5000);
      break;
    case 'stop':
      actor.send({ type: 'STOP', handoverTo: null });
  }
  await settled();
}

it('keeps the order of going up and down under any sequence of answers, failures and commands', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...STEPS), { minLength: 5, maxLength: 60 }), async (steps) => {
      const walk = walker();
      for (const step of steps) await take(walk, step);
      expect(walk.broken).toEqual([]);
      expect(walk.actor.getSnapshot().status).toBe('active');
    }),
    { numRuns: 400 },
  );
});

it('can always be stopped when its ports answer', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...STEPS), { maxLength: 40 }), async (steps) => {
      const walk = walker();
      for (const step of steps) await take(walk, step);
      await take(walk, 'stop');
      for (let turn = 0; turn < 20; turn += 1) await take(walk, 'answer');
      expect(walk.broken).toEqual([]);
      expect(walk.actor.getSnapshot().status, JSON.stringify(walk.actor.getSnapshot().value)).toBe('done');
    }),
    { numRuns: 400 },
  );
});
