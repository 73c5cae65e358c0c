/**
 * One failover group: resources, devices, hooks and an address that move as one.
 * Up: epoch durable, resources primary, devices, hooks ascending, address.
 * Down: address, hooks descending, devices, resources released.
 * @see SAFETY B1, B5, C1-C5, D4
 */
import { and, assign } from 'xstate';

import { initialContext, scope } from './group-context.ts';
import { outcome, stopHooks, summary } from './group-hooks.ts';
import { groupSetup } from './group-setup.ts';
import { thrown } from './thrown.ts';

export type * from './group-context.ts';

/** Its engine is opened again. */
const whenLost = {
  target: 'unsettled',
  actions: {
    type: 'noteError',
    params: ({ event }: { event: { readonly reason: string } }) => ({ error: event.reason }),
  },
} as const;

export const groupMachine = groupSetup.createMachine({
  id: 'group',
  description: 'A failover group: everything up in order, down in reverse, all or nothing',
  context: ({ input }) => initialContext(input),
  initial: 'starting',
  states: {
    starting: { always: [{ guard: 'byHand', target: 'idle' }, { target: 'standby' }] },
    idle: {
      description: 'Outside any group: a person gives the roles',
      entry: 'forgetLeaving',
      on: {
        SECONDARY: 'standby',
        EVALUATE: [
          { guard: and(['wanted', 'allowed']), target: 'promoting', actions: ['judge', 'noteWish'] },
          { actions: 'judge' },
        ],
        STOP: { target: 'stopped', actions: 'noteStop' },
      },
    },
    standby: {
      description: 'Secondary: follows the primary, ready to take over',
      initial: 'settling',
      on: { STOP: { target: 'stopped', actions: 'noteStop' } },
      states: {
        settling: {
          invoke: {
            id: 'settleSecondary',
            src: 'settleSecondary',
            input: scope,
            onDone: [{ guard: 'leaving', target: '#group.demoting.releasing' }, { target: 'waiting' }],
            onError: [
              { guard: 'leaving', target: '#group.demoting.releasing' },
              { target: 'unsettled', actions: { type: 'noteError', params: thrown } },
            ],
          },
          // A change of role that runs is never cut short.
          on: { DEMOTE: { guard: 'byHand', actions: ['noteDemotion', 'noteLeaving'] } },
        },
        unsettled: {
          description: 'Some member cannot be secondary; tried again',
          entry: { type: 'reportBlocked', params: ({ context }) => ({ error: context.error }) },
          after: { retry: 'settling' },
          on: {
            EVALUATE: { actions: 'judge' },
            DEMOTE: { guard: 'byHand', target: '#group.demoting.releasing', actions: 'noteDemotion' },
          },
        },
        waiting: {
          on: {
            'MEMBER.LOST': whenLost,
            EVALUATE: [
              {
                guard: and(['wanted', 'allowed']),
                target: '#group.promoting',
                actions: ['judge', 'noteWish'],
              },
              {
                guard: and(['wanted', 'onlyConsentMissing']),
                target: 'claiming',
                actions: ['judge', 'noteWish'],
              },
              {
                guard: and(['wanted', 'onlyFenceMissing']),
                target: 'fencing',
                actions: ['judge', 'noteWish'],
              },
              { actions: 'judge' },
            ],
            DEMOTE: { guard: 'byHand', target: '#group.demoting.releasing', actions: 'noteDemotion' },
          },
        },
        claiming: {
          description: 'The peer lives and is not primary: asks for its consent',
          on: { 'MEMBER.LOST': whenLost },
          invoke: {
            id: 'claimConsent',
            src: 'claimConsent',
            input: scope,
            onDone: 'waiting',
            onError: {
              target: 'refused',
              actions: { type: 'noteError', params: thrown },
            },
          },
        },
        fencing: {
          description: 'The peer is silent, and the policy wants it to be certainly down first',
          on: { 'MEMBER.LOST': whenLost },
          invoke: {
            id: 'fencePeer',
            src: 'fencePeer',
            input: scope,
            onDone: 'waiting',
            onError: {
              target: 'refused',
              actions: { type: 'noteError', params: thrown },
            },
          },
        },
        refused: {
          after: { retry: 'waiting' },
          on: { 'MEMBER.LOST': whenLost, EVALUATE: { actions: 'judge' } },
        },
      },
    },
    promoting: {
      initial: 'recording',
      on: { STOP: { actions: 'noteStop' } },
      states: {
        recording: {
          description: 'Reads the data link to its end, then every member records the new epoch',
          invoke: {
            id: 'prepareMembers',
            src: 'prepareMembers',
            input: ({ context }) => ({
              group: context.group,
              reason: context.reason,
              evidence: context.evidence,
            }),
            onDone: { target: 'opening', actions: assign({ epoch: ({ event }) => event.output }) },
            onError: {
              target: '#group.demoting.releasing',
              actions: { type: 'noteFailure', params: thrown },
            },
          },
        },
        opening: {
          invoke: {
            id: 'promoteMembers',
            src: 'promoteMembers',
            input: scope,
            onDone: 'attaching',
            onError: {
              target: '#group.demoting.detaching',
              actions: { type: 'noteFailure', params: thrown },
            },
          },
        },
        attaching: {
          description: 'The device appears',
          invoke: {
            id: 'attachDevices',
            src: 'attachDevices',
            input: scope,
            onDone: 'startingHooks',
            onError: {
              target: '#group.demoting.detaching',
              actions: { type: 'noteFailure', params: thrown },
            },
          },
        },
        startingHooks: {
          invoke: {
            id: 'startHooks',
            src: 'startHooks',
            input: scope,
            onDone: [
              {
                guard: { type: 'hooksStuck', params: outcome },
                target: '#group.demoting.takingAway',
                actions: { type: 'noteFailure', params: summary },
              },
              { guard: { type: 'hooksOk', params: outcome }, target: '#group.primary' },
              {
                target: '#group.demoting.stoppingHooks',
                actions: { type: 'noteFailure', params: summary },
              },
            ],
            onError: {
              target: '#group.demoting.stoppingHooks',
              actions: { type: 'noteFailure', params: thrown },
            },
          },
        },
      },
    },
    primary: {
      initial: 'raisingAddress',
      on: {
        DEMOTE: { target: 'demoting', actions: 'noteDemotion' },
        STOP: { target: 'demoting', actions: 'noteDemotion' },
        EVALUATE: { actions: 'judge' },
      },
      always: { guard: 'stopping', target: 'demoting' },
      states: {
        raisingAddress: {
          description: 'Last of all the shared address',
          invoke: {
            id: 'raiseAddress',
            src: 'raiseAddress',
            input: scope,
            onDone: 'serving',
            onError: {
              target: '#group.demoting',
              actions: { type: 'noteFailure', params: thrown },
            },
          },
        },
        serving: { entry: 'forgetFailures' },
      },
    },
    demoting: {
      initial: 'loweringAddress',
      on: { STOP: { actions: 'noteStop' } },
      states: {
        loweringAddress: {
          description: 'First of all the shared address',
          invoke: {
            id: 'lowerAddress',
            src: 'lowerAddress',
            input: ({ context }) => ({ ...scope({ context }), rival: context.rival }),
            onDone: 'stoppingHooks',
            onError: {
              target: 'stoppingHooks',
              actions: { type: 'noteError', params: thrown },
            },
          },
        },
        stoppingHooks: { invoke: stopHooks('takingAway') },
        takingAway: {
          description: 'What a hook waits for in the kernel goes with the device, which lets the hook end',
          invoke: {
            id: 'takeAway',
            src: 'detachDevices',
            input: scope,
            onDone: 'stoppingRest',
            onError: {
              target: 'stoppingRest',
              actions: { type: 'noteError', params: thrown },
            },
          },
        },
        stoppingRest: {
          description: 'Once more, now that the device is gone',
          invoke: stopHooks('#group.closing'),
        },
        detaching: {
          description: 'Unmounts and removes the device, by force in the end',
          invoke: {
            id: 'detachDevices',
            src: 'detachDevices',
            input: scope,
            onDone: 'releasing',
            onError: {
              target: '#group.closing',
              actions: { type: 'noteError', params: thrown },
            },
          },
        },
        releasing: {
          description: 'Exports closed, both sides flushed, roles given up',
          invoke: {
            id: 'releaseMembers',
            src: 'releaseMembers',
            input: ({ context }) => ({
              group: context.group,
              reason: context.reason,
              handover: context.handover,
            }),
            onDone: [
              { guard: 'handingOver', target: 'handingOver' },
              { guard: 'stopping', target: '#group.stopped' },
              { guard: 'failing', target: '#group.holding' },
              { target: '#group.starting' },
            ],
            onError: {
              target: '#group.stuck',
              actions: { type: 'noteError', params: thrown },
            },
          },
        },
        handingOver: {
          description: 'The other node promotes; this one may not until they have met',
          invoke: {
            id: 'handOver',
            src: 'handOver',
            input: ({ context }) => ({
              group: context.group,
              reason: context.reason,
              to: context.handoverTo,
            }),
            onDone: [
              { guard: 'stopping', target: '#group.stopped' },
              { target: '#group.standby', actions: 'forgetHandover' },
            ],
            onError: {
              target: 'takingBack',
              actions: { type: 'noteHandoverError', params: thrown },
            },
          },
        },
        takingBack: {
          description: 'Nobody took the epoch: asks for the durable word that nobody will',
          invoke: {
            id: 'takeBack',
            src: 'takeBack',
            input: scope,
            onDone: [
              { guard: 'stopping', target: '#group.stopped' },
              { target: '#group.standby', actions: 'forgetHandover' },
            ],
            onError: [
              { guard: 'stopping', target: '#group.stopped' },
              {
                target: '#group.standby',
                actions: ['forgetHandover', { type: 'noteError', params: thrown }],
              },
            ],
          },
        },
      },
    },
    holding: {
      description: 'A promotion failed: waits, longer each time, before it tries again',
      entry: { type: 'reportBlocked', params: ({ context }) => ({ error: context.error }) },
      // Outside any group only a person tries again.
      after: { hold: [{ guard: 'byHand', target: 'idle' }, { target: 'standby' }] },
      on: {
        RETRY: [
          { guard: 'byHand', target: 'idle', actions: 'forgetFailures' },
          { target: 'standby', actions: 'forgetFailures' },
        ],
        EVALUATE: { actions: 'judge' },
        STOP: { target: 'stopped', actions: 'noteStop' },
      },
    },
    closing: {
      description: 'Something cannot be removed: at least nothing is served any more, and the peer is told',
      on: { STOP: { actions: 'noteStop' } },
      invoke: {
        id: 'closeExports',
        src: 'releaseMembers',
        input: ({ context }) => ({ group: context.group, reason: context.reason, handover: false }),
        onDone: 'stuck',
        onError: { target: 'stuck', actions: { type: 'noteError', params: thrown } },
      },
    },
    stuck: {
      description: 'Something of an earlier epoch cannot be removed: never primary until it is gone',
      entry: { type: 'reportBlocked', params: ({ context }) => ({ error: context.error }) },
      always: { guard: 'stopping', target: 'stopped' },
      after: { unstick: 'demoting.stoppingHooks' },
      on: {
        RETRY: 'demoting.stoppingHooks',
        EVALUATE: { actions: 'judge' },
        STOP: { target: 'stopped', actions: 'noteStop' },
      },
    },
    stopped: { type: 'final' },
  },
});
