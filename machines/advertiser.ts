/**
 * One CARP instance. The election by adverts says who should lead (`MASTER.address.wanted`); the address goes
 * up only after the group said that it is primary (`GROUP.PROMOTED` -> `raising` -> `serving`). Adverts are a
 * sensor and an output, never a right to write. A node that must not lead stays BACKUP in `silent`.
 * @see carp-vrrp 0.1, 1.4 to 1.7; SAFETY C1, C3, C5
 */
import { advertiserSetup, changeTo, firstAdvert, regularAdvert } from './advertiser-setup.ts';
import { initialContext } from './advertiser-context.ts';
import { textOf } from './thrown.ts';

export type { AdvertToSend, AdvertiserEvent, AdvertiserInput } from './advertiser-context.ts';

const because = (reason: string) => ({ type: 'because', params: { reason } }) as const;
const leaving = (reason: string, bowOut: boolean) => ({ type: 'leave', params: { reason, bowOut } }) as const;
const say = { type: 'sendAdvert', params: regularAdvert } as const;
const sayFirst = { type: 'sendAdvert', params: firstAdvert } as const;
const addressIs = (change: 'up' | 'down') =>
  ({ type: 'notifyAddress', params: { change, error: null } }) as const;
const addressFailed = (change: 'add-failed' | 'remove-failed') =>
  ({
    type: 'notifyAddress',
    params: ({ event }: { event: { error: unknown } }) => ({ change, error: textOf(event.error) }),
  }) as const;
const toInit = [
  { type: 'notifyState', params: changeTo('INIT') },
  { type: 'enter', params: { to: 'INIT' } },
] as const;
const whetherHeard = ({ event }: { event: { output: { heard: boolean } } }) => ({
  heard: event.output.heard,
});

export const advertiserMachine = advertiserSetup.createMachine({
  id: 'advertiser',
  context: ({ input }) => initialContext(input),
  initial: 'INIT',
  on: {
    'ADMIN.START': { actions: 'noteStarted' },
    'ADMIN.STOP': { actions: 'noteStopped' },
    'LINK.UP': { actions: 'noteLinkUp' },
    'LINK.DOWN': { actions: 'noteLinkDown' },
    RX: { actions: 'noteHeard' },
    'GROUP.PROMOTED': { actions: 'notePromoted' },
    'GROUP.DEMOTING': { actions: 'noteNotPrimary' },
    'GROUP.RELEASED': { actions: 'noteNotPrimary' },
    'GROUP.DEMOTED': { actions: 'noteRefusal' },
    'GROUP.HOLD': { actions: 'withhold' },
    'GROUP.ELIGIBLE': { actions: 'qualify' },
    DEMOTE: { actions: 'noteDemotion' },
    'TX.OK': [
      { guard: 'sendingRecovered', actions: ['noteTxOk', 'undemoteForErrors'] },
      { actions: 'noteTxOk' },
    ],
    'TX.ERROR': [
      { guard: 'sendingFails', actions: ['noteTxError', 'demoteForErrors'] },
      { actions: 'noteTxError' },
    ],
  },
  states: {
    INIT: {
      always: { guard: 'mayRun', target: 'BACKUP' },
    },
    BACKUP: {
      entry: [
        { type: 'notifyState', params: changeTo('BACKUP') },
        { type: 'enter', params: { to: 'BACKUP' } },
        'forgetLeaving',
        'forgetStall',
      ],
      initial: 'waiting',
      on: {
        'ADMIN.STOP': { target: 'INIT', actions: ['noteStopped', because('stopped'), ...toInit] },
        'LINK.DOWN': { target: 'INIT', actions: ['noteLinkDown', ...toInit] },
        'GROUP.PROMOTED': { target: 'MASTER', actions: ['notePromoted', because('group is primary')] },
        'GROUP.DEMOTED': { target: '.holding', actions: 'noteRefusal' },
        RX: [
          {
            guard: 'mayPreempt',
            target: 'MASTER',
            actions: ['noteHeard', because('preempting a slower master')],
          },
          {
            guard: 'mayReplaceTooSlow',
            target: 'MASTER',
            actions: ['noteHeard', because('master left or will time out')],
          },
          { guard: 'masterLeft', target: '.silent', actions: 'noteHeard' },
          { target: '.waiting', actions: 'noteHeard' },
        ],
        'LOOP.STALL': { guard: 'beyondAdvInterval', actions: 'noteStall' },
      },
      states: {
        waiting: {
          after: { downInterval: 'draining' },
        },
        draining: {
          invoke: {
            id: 'drainBeforeTakeover',
            src: 'drainAdverts',
            onDone: [
              { guard: { type: 'heard', params: whetherHeard }, target: 'waiting' },
              { guard: 'stalled', target: 'listeningOn' },
              { guard: 'mayLead', target: '#advertiser.MASTER', actions: because('master silent') },
              { target: 'silent' },
            ],
            onError: 'waiting',
          },
        },
        listeningOn: {
          entry: 'forgetStall',
          after: { advInterval: 'draining' },
        },
        silent: {
          entry: 'forgetStall',
          on: { 'GROUP.ELIGIBLE': { target: 'draining', actions: 'qualify' } },
        },
        holding: {
          after: { hold: 'waiting' },
          on: { RX: { actions: 'noteHeard' } },
        },
      },
    },
    MASTER: {
      type: 'parallel',
      entry: [
        sayFirst,
        { type: 'notifyState', params: changeTo('MASTER') },
        { type: 'enter', params: { to: 'MASTER' } },
        'forgetLeaving',
      ],
      exit: 'noteNotServing',
      on: {
        RX: [
          { guard: 'better', target: 'LEAVING', actions: ['noteHeard', leaving('better master', false)] },
          {
            guard: 'tied',
            target: 'LEAVING',
            actions: ['noteHeard', 'breakTie', leaving('equal master', false)],
          },
          { actions: 'noteHeard' },
        ],
        'ADMIN.STOP': { target: 'LEAVING', actions: ['noteStopped', leaving('stopped', true)] },
        'LINK.DOWN': { target: 'LEAVING', actions: ['noteLinkDown', leaving('link down', false)] },
        'GROUP.RELEASED': {
          target: 'LEAVING',
          actions: ['noteNotPrimary', leaving('group released', true)],
        },
        'GROUP.DEMOTED': {
          target: 'LEAVING',
          actions: [leaving('group demoted', true), 'noteRefusal'],
        },
        'GROUP.HOLD': [
          { guard: 'holdsGroup', actions: ['withhold', say] },
          { target: 'LEAVING', actions: ['withhold', leaving('group cannot follow', true)] },
        ],
        'GROUP.ELIGIBLE': { actions: ['qualify', say] },
        DEMOTE: { actions: ['noteDemotion', say] },
        'TX.OK': [
          { guard: 'sendingRecovered', actions: ['noteTxOk', 'undemoteForErrors', say] },
          { actions: 'noteTxOk' },
        ],
        'TX.ERROR': [
          { guard: 'sendingFails', actions: ['noteTxError', 'demoteForErrors', say] },
          { actions: 'noteTxError' },
        ],
      },
      states: {
        adverts: {
          initial: 'sending',
          states: {
            sending: {
              after: { advInterval: { target: 'sending', reenter: true, actions: say } },
              on: {
                RX: { guard: 'slowerUnanswered', actions: ['noteHeard', 'noteAnswer', say] },
                'LOOP.STALL': { guard: 'beyondDownInterval', target: 'suspect' },
              },
            },
            suspect: {
              invoke: {
                id: 'drainBeforeSending',
                src: 'drainAdverts',
                onDone: [
                  { guard: 'serving', target: 'sending', actions: [sayFirst, 'announceAddresses'] },
                  { target: 'sending', actions: sayFirst },
                ],
                onError: { target: 'sending', actions: sayFirst },
              },
            },
          },
        },
        address: {
          initial: 'wanted',
          states: {
            wanted: {
              always: { guard: 'holdsGroup', target: 'raising' },
            },
            raising: {
              entry: 'noteAddressTouched',
              invoke: {
                id: 'addAddresses',
                src: 'addAddresses',
                onDone: 'serving',
                onError: { target: 'notRaised', actions: addressFailed('add-failed') },
              },
              on: { 'GROUP.DEMOTING': { target: 'lowering', actions: 'noteNotPrimary' } },
            },
            notRaised: {
              after: { retry: 'raising' },
              on: { 'GROUP.DEMOTING': { target: 'lowering', actions: 'noteNotPrimary' } },
            },
            serving: {
              entry: ['noteServing', 'announceAddresses', addressIs('up')],
              exit: 'noteNotServing',
              after: { announceAgain: { actions: 'announceAddresses' } },
              on: {
                'GROUP.DEMOTING': { target: 'lowering', actions: 'noteNotPrimary' },
                RX: { guard: 'slowerUnanswered', actions: ['noteHeard', 'noteAnswer', 'announceAddresses'] },
              },
            },
            lowering: {
              invoke: {
                id: 'lowerAddresses',
                src: 'removeAddresses',
                onDone: { target: 'yielding', actions: ['noteAddressGone', addressIs('down')] },
                onError: { target: 'notLowered', actions: addressFailed('remove-failed') },
              },
              on: { 'GROUP.HOLD': { actions: 'withhold' } },
            },
            notLowered: {
              after: { retry: 'lowering' },
              on: { 'GROUP.HOLD': { actions: 'withhold' } },
            },
            yielding: {
              always: { guard: 'holdsGroup', target: 'raising' },
              on: { 'GROUP.HOLD': { actions: 'withhold' } },
            },
          },
        },
      },
    },
    LEAVING: {
      initial: 'choosing',
      states: {
        choosing: {
          always: [{ guard: 'addressMayBeUp', target: 'removing' }, { target: 'removed' }],
        },
        removing: {
          invoke: {
            id: 'removeAddresses',
            src: 'removeAddresses',
            onDone: { target: 'removed', actions: ['noteAddressGone', addressIs('down')] },
            onError: { target: 'notRemoved', actions: addressFailed('remove-failed') },
          },
        },
        notRemoved: {
          after: { retry: 'removing' },
        },
        removed: {
          always: [{ guard: 'bowsOut', target: 'bowingOut' }, { target: 'left' }],
        },
        bowingOut: {
          entry: 'sendBowOut',
          after: { bowOutGap: { target: 'left', actions: 'sendBowOut' } },
        },
        left: {
          always: [
            {
              guard: 'reclaiming',
              target: '#advertiser.MASTER',
              actions: because('group is primary again'),
            },
            { guard: 'refusedAndRunning', target: '#advertiser.BACKUP.holding' },
            { guard: 'mayRun', target: '#advertiser.BACKUP' },
            { target: '#advertiser.INIT', actions: [...toInit] },
          ],
        },
      },
    },
  },
});
