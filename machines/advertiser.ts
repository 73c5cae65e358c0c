/**
 * One CARP or VRRP instance. The election by adverts says who should lead (`MASTER.address.wanted`); the address goes
 * up only after the group said that it is primary (`GROUP.PROMOTED` -> `raising` -> `serving`). Adverts are a
 * sensor and an output, never a right to write. A node that must not lead stays BACKUP in `silent`.
 * @see carp-vrrp 0.1, 1.4 to 1.7, 2.3 to 2.5; SAFETY C1, C3, C5
 */
import { advertiserCharts, laterLost, laterUp, lost, nowLost, nowUp, won } from './advertiser-reminders.ts';
import { changeTo, firstAdvert, flapAlarm, goodbye, regularAdvert } from './advertiser-setup.ts';
import { initialContext } from './advertiser-context.ts';
import { textOf } from './thrown.ts';

export type { AdvertToSend, AdvertiserEvent, AdvertiserInput } from './advertiser-context.ts';

const because = (reason: string) => ({ type: 'because', params: { reason } }) as const;
const leaving = (reason: string, bowOut: boolean) => ({ type: 'leave', params: { reason, bowOut } }) as const;
const say = { type: 'sendAdvert', params: regularAdvert } as const;
const sayFirst = { type: 'sendAdvert', params: firstAdvert } as const;
const sayGoodbye = { type: 'sendBowOut', params: goodbye } as const;
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

export const advertiserMachine = advertiserCharts.createMachine({
  id: 'advertiser',
  context: ({ input }) => initialContext(input),
  initial: 'INIT',
  on: {
    'ADMIN.START': { actions: 'noteStarted' },
    'ADMIN.STOP': { actions: 'noteStopped' },
    'LINK.UP': [{ guard: 'linkUpLater', actions: [...laterUp] }, { actions: [...nowUp] }],
    'LINK.DOWN': [{ guard: 'linkDownLater', actions: [...laterLost] }, { actions: [...nowLost] }],
    'LINK.BACK': { actions: 'noteLinkUp' },
    'LINK.LOST': { actions: 'noteLinkDown' },
    FAULT: { actions: 'noteFault' },
    'FAULT.OVER': { actions: 'noteFaultOver' },
    CONFIGURE: { actions: 'configure' },
    'HOLD.CLEAR': { actions: 'clearHolds' },
    'FLAP.FORGET': { actions: ['forgetFlapping', 'forgetElection'] },
    RESTED: { actions: 'noteRested' },
    SETTLED: { actions: 'noteSettled' },
    RX: { actions: 'noteHeard' },
    'GROUP.PROMOTED': { actions: 'notePromoted' },
    'GROUP.DEMOTING': { actions: 'noteDemoting' },
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
      entry: 'forgetPace',
      always: [
        { guard: 'mayRunAsOwner', target: 'MASTER', actions: because('owner of the addresses') },
        { guard: 'mayRun', target: 'BACKUP' },
      ],
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
        'LINK.LOST': { target: 'INIT', actions: ['noteLinkDown', ...toInit] },
        FAULT: { target: 'INIT', actions: ['noteFault', ...toInit] },
        'GROUP.ELIGIBLE': [
          {
            guard: 'mayLeadAsOwner',
            target: 'MASTER',
            actions: ['qualify', because('owner of the addresses')],
          },
          { actions: 'qualify' },
        ],
        'SYNC.LEAD': {
          guard: 'mayLead',
          target: 'MASTER',
          actions: because('elected with its sync group'),
        },
        'GROUP.PROMOTED': { target: 'MASTER', actions: ['notePromoted', because('group is primary')] },
        'GROUP.DEMOTED': { target: '.holding', actions: 'noteRefusal' },
        RX: [
          {
            guard: 'mayPreempt',
            target: 'MASTER',
            actions: ['noteHeard', ...won, because('preempting a slower master')],
          },
          {
            guard: 'mayReplaceTooSlow',
            target: 'MASTER',
            actions: ['noteHeard', ...won, because('master left or will time out')],
          },
          {
            guard: 'mayReplaceDemoted',
            target: 'MASTER',
            actions: ['noteHeard', ...won, because('replacing a demoted master')],
          },
          { guard: 'masterLeftForUs', target: '.succeeding', actions: 'noteHeard' },
          { guard: 'masterLeft', target: '.silent', actions: 'noteHeard' },
          { guard: 'waitsOut', actions: 'noteHeard' },
          { target: '.waiting', actions: ['noteHeard', 'learnPace'] },
        ],
        'LOOP.STALL': { guard: 'beyondAdvInterval', actions: 'noteStall' },
      },
      states: {
        waiting: {
          after: { downInterval: 'draining' },
          // Another pace is waited for from now on.
          on: { CONFIGURE: { target: 'waiting', reenter: true, actions: 'configure' } },
        },
        draining: {
          invoke: {
            id: 'drainBeforeTakeover',
            src: 'drainAdverts',
            onDone: [
              { guard: { type: 'heard', params: whetherHeard }, target: 'waiting' },
              { guard: 'stalled', target: 'listeningOn' },
              {
                guard: 'mayLead',
                target: '#advertiser.MASTER',
                actions: [...won, because('master silent')],
              },
              { target: 'silent' },
            ],
            onError: 'waiting',
          },
        },
        succeeding: {
          after: { succession: 'draining' },
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
          on: {
            RX: { actions: 'noteHeard' },
            'HOLD.CLEAR': { target: 'waiting', actions: 'clearHolds' },
          },
        },
        flapping: {
          entry: ['noteFlapHold', { type: 'notifyFlapping', params: flapAlarm }],
          after: { flapHold: 'waiting' },
          on: {
            RX: { actions: 'noteHeard' },
            'SYNC.LEAD': {},
            'FLAP.FORGET': { actions: 'forgetElection' },
            'HOLD.CLEAR': { target: 'waiting', actions: 'clearHolds' },
          },
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
        'forgetPace',
      ],
      exit: 'noteNotServing',
      on: {
        RX: [
          {
            guard: 'better',
            target: 'LEAVING',
            actions: ['noteHeard', 'learnPace', ...lost, leaving('better master', false)],
          },
          {
            guard: 'tied',
            target: 'LEAVING',
            actions: ['noteHeard', 'learnPace', 'breakTie', ...lost, leaving('equal master', false)],
          },
          { actions: ['noteHeard', 'countRivalOwner'] },
        ],
        'ADMIN.STOP': { target: 'LEAVING', actions: ['noteStopped', leaving('stopped', true)] },
        'LINK.LOST': { target: 'LEAVING', actions: ['noteLinkDown', leaving('link down', false)] },
        FAULT: { target: 'LEAVING', actions: [leaving('fault', true), 'noteFault'] },
        // Its group decides about an address that it holds.
        'SYNC.YIELD': {
          guard: 'heldByNobody',
          target: 'LEAVING',
          actions: { type: 'leave', params: ({ event }) => ({ reason: event.reason, bowOut: true }) },
        },
        CONFIGURE: { actions: ['configure', say] },
        SETTLED: { guard: 'unsettled', actions: ['noteSettled', say] },
        'GROUP.RELEASED': {
          target: 'LEAVING',
          actions: ['noteNotPrimary', leaving('group released', true)],
        },
        'GROUP.DEMOTING': [
          {
            guard: 'namesRival',
            target: 'LEAVING',
            actions: ['noteDemoting', leaving('another node may lead', true)],
          },
          { actions: 'noteDemoting' },
        ],
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
                RX: {
                  guard: 'slowerUnanswered',
                  actions: ['noteHeard', 'countRivalOwner', 'noteAnswer', say],
                },
                'LOOP.STALL': { guard: 'beyondDownInterval', target: 'suspect' },
                CONFIGURE: { target: 'sending', reenter: true, actions: ['configure', say] },
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
              on: {
                'GROUP.DEMOTING': { target: 'lowering', actions: 'noteDemoting' },
                ADDRESSES: { target: 'raising', reenter: true },
              },
            },
            notRaised: {
              after: { retry: 'raising' },
              on: {
                'GROUP.DEMOTING': { target: 'lowering', actions: 'noteDemoting' },
                ADDRESSES: 'raising',
              },
            },
            serving: {
              entry: ['noteServing', 'announceAddresses', addressIs('up')],
              exit: 'noteNotServing',
              after: { announceAgain: { actions: 'announceAddresses' } },
              on: {
                'GROUP.DEMOTING': { target: 'lowering', actions: 'noteDemoting' },
                ADDRESSES: 'raising',
                RX: {
                  guard: 'slowerUnanswered',
                  actions: ['noteHeard', 'noteAnswer', 'announceAddresses'],
                },
              },
            },
            lowering: {
              invoke: {
                id: 'lowerAddresses',
                src: 'removeAddresses',
                onDone: [
                  {
                    guard: 'hasRival',
                    target: '#advertiser.LEAVING',
                    actions: ['noteAddressGone', addressIs('down'), leaving('another node may lead', true)],
                  },
                  { target: 'yielding', actions: ['noteAddressGone', addressIs('down')] },
                ],
                onError: { target: 'notLowered', actions: addressFailed('remove-failed') },
              },
              on: {
                'GROUP.HOLD': { actions: 'withhold' },
                'GROUP.DEMOTING': { actions: 'noteDemoting' },
              },
            },
            notLowered: {
              after: { retry: 'lowering' },
              on: {
                'GROUP.HOLD': { actions: 'withhold' },
                'GROUP.DEMOTING': { actions: 'noteDemoting' },
              },
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
          entry: sayGoodbye,
          always: { guard: 'saysGoodbyeOnce', target: 'left' },
          after: { bowOutGap: { target: 'left', actions: sayGoodbye } },
        },
        left: {
          always: [
            {
              guard: 'reclaiming',
              target: '#advertiser.MASTER',
              actions: because('group is primary again'),
            },
            { guard: 'refusedAndRunning', target: '#advertiser.BACKUP.holding' },
            { guard: 'flapsTooMuch', target: '#advertiser.BACKUP.flapping' },
            { guard: 'mayRun', target: '#advertiser.BACKUP' },
            { target: '#advertiser.INIT', actions: [...toInit] },
          ],
        },
      },
    },
  },
});
