/** Ports, guards, delays and small memories of the advertiser's chart. */
import { assign, setup } from 'xstate';

import { candidateOf, nextRandom, standingOf, withDemotion } from './advertiser-context.ts';
import type {
  AddressChange,
  AdvertToSend,
  AdvertiserContext,
  AdvertiserEvent,
  AdvertiserInput,
  FlapAlarm,
  StateChange,
} from './advertiser-context.ts';
import { advertiserGuards } from './advertiser-guards.ts';
import { effectPort, port } from './port.ts';
import {
  advertIntervalMs,
  announcementOf,
  downIntervalMs,
  goodbyeOf,
  isStrongerOwner,
  successionMs,
} from '../src/model/election.ts';
import type { Announcement } from '../src/model/election.ts';

const MAX_HOLD_MS = 60_000;
const MAX_FLAP_HOLD_MS = 600_000;
const STORAGE_DEMOTION = 240;
const SEND_ERROR_DEMOTION = 240;

const doubled = (baseMs: number, times: number, most: number): number =>
  Math.min(most, baseMs * 2 ** Math.max(0, times - 1));
const flapHold = ({ settings, flapHolds }: AdvertiserContext): number =>
  doubled(settings.flapHoldMs, flapHolds, MAX_FLAP_HOLD_MS);

const withheld = ({ demotion }: AdvertiserContext): Pick<AdvertiserContext, 'eligible' | 'demotion'> => ({
  eligible: false,
  demotion: withDemotion(demotion, 'storage', STORAGE_DEMOTION),
});

export const advertiserSetup = setup({
  types: { context: {} as AdvertiserContext, input: {} as AdvertiserInput, events: {} as AdvertiserEvent },
  actors: {
    /** Reads every waiting advert (each becomes RX before this ends). */
    drainAdverts: port<{ heard: boolean }>('drain-adverts'),
    addAddresses: port('add-addresses'),
    removeAddresses: port('remove-addresses'),
  },
  guards: advertiserGuards,
  delays: {
    advInterval: ({ context }) => advertIntervalMs(candidateOf(context)),
    downInterval: ({ context }) => downIntervalMs(candidateOf(context)) + context.tieJitterMs,
    succession: ({ context }) => successionMs(candidateOf(context)),
    announceAgain: ({ context }) => 2 * advertIntervalMs(candidateOf(context)),
    bowOutGap: ({ context }) => context.settings.bowOutGapMs,
    retry: ({ context }) => context.settings.retryMs,
    hold: ({ context }) => doubled(context.settings.holdBaseMs, context.refusals, MAX_HOLD_MS),
    flapHold: ({ context }) => flapHold(context),
    flapWindow: ({ context }) => context.settings.flapWindowMs,
    linkUpDelay: ({ context }) => context.settings.linkUpDelayMs,
    linkDownDelay: ({ context }) => context.settings.linkDownDelayMs,
    minBackup: ({ context }) => context.settings.minBackupMs,
    minMaster: ({ context }) => context.settings.minMasterMs,
  },
  actions: {
    sendAdvert: effectPort<AdvertToSend>('send-advert'),
    sendBowOut: effectPort<{ readonly says: Announcement }>('send-bow-out'),
    announceAddresses: effectPort('announce-addresses'),
    notifyState: effectPort<StateChange>('notify-state'),
    notifyAddress: effectPort<AddressChange>('notify-address'),
    notifyFlapping: effectPort<FlapAlarm>('notify-flapping'),

    enter: assign((_, params: { to: AdvertiserContext['carp'] }) => ({ carp: params.to })),
    because: assign((_, params: { reason: string }) => ({ reason: params.reason })),
    leave: assign((_, params: { reason: string; bowOut: boolean }) => ({
      ...params,
      reclaim: false,
      refused: false,
    })),
    forgetLeaving: assign({ bowOut: false, reclaim: false, refused: false }),
    noteStarted: assign({ started: true, reason: 'started', rivalOwners: 0 }),
    noteStopped: assign({ started: false, holdsGroup: false, reclaim: false }),
    noteLinkUp: assign({ linkUp: true, reason: 'link up' }),
    noteLinkDown: assign({ linkUp: false, reason: 'link down' }),
    noteHeard: assign(({ context, event }) => {
      if (event.type !== 'RX') return {};
      const { type: _type, ...heard } = event;
      const worse = standingOf(context, heard) === 'worse';
      return {
        lastHeard: heard,
        tieJitterMs: 0,
        stalled: false,
        worseSince: worse ? (context.worseSince ?? heard.at) : null,
      };
    }),
    /** Of a MASTER that we accept: its pace is what we wait by. */
    learnPace: assign(({ event }) =>
      event.type === 'RX' && event.says.protocol === 'vrrp' ? { learnedMs: event.says.intervalMs } : {},
    ),
    forgetPace: assign({ learnedMs: null, worseSince: null }),
    countRivalOwner: assign(({ context, event }) =>
      event.type === 'RX' && isStrongerOwner(candidateOf(context), event.says, event.source)
        ? { rivalOwners: context.rivalOwners + 1 }
        : {},
    ),
    noteAnswer: assign(({ event }) => (event.type === 'RX' ? { answeredAt: event.at } : {})),
    breakTie: assign(({ context }) => {
      const { seed, fraction } = nextRandom(context.seed);
      const { election } = context.settings;
      const base = election.protocol === 'carp' ? election.advbase * 1000 : election.intervalMs;
      const spreadMs = base || advertIntervalMs(candidateOf(context));
      return { seed, tieJitterMs: (fraction * spreadMs) / 4 };
    }),
    noteFault: assign(({ context, event }) =>
      event.type === 'FAULT' && !context.faults.includes(event.by)
        ? { faults: [...context.faults, event.by], reason: `fault: ${event.by}` }
        : {},
    ),
    noteFaultOver: assign(({ context, event }) =>
      event.type === 'FAULT.OVER'
        ? { faults: context.faults.filter((by) => by !== event.by), reason: `${event.by} is there again` }
        : {},
    ),
    configure: assign(({ context, event }) =>
      event.type === 'CONFIGURE' ? { settings: { ...context.settings, ...event.settings } } : {},
    ),
    notePromoted: assign({ holdsGroup: true, reclaim: true }),
    noteNotPrimary: assign({ holdsGroup: false, reclaim: false }),
    noteDemoting: assign(({ context, event }) => {
      const rival = event.type === 'GROUP.DEMOTING' && event.rival;
      return { holdsGroup: false, reclaim: false, rival, ...(rival ? withheld(context) : {}) };
    }),
    noteRefusal: assign(({ context, event }) => ({
      holdsGroup: false,
      reclaim: false,
      refused: true,
      refusals: context.refusals + 1,
      reason: event.type === 'GROUP.DEMOTED' ? event.reason : context.reason,
    })),
    withhold: assign(({ context }) => withheld(context)),
    qualify: assign(({ context }) => ({
      eligible: true,
      demotion: withDemotion(context.demotion, 'storage', 0),
    })),
    noteDemotion: assign(({ context, event }) =>
      event.type === 'DEMOTE' ? { demotion: withDemotion(context.demotion, event.by, event.amount) } : {},
    ),
    noteTxError: assign(({ context }) => ({ txErrors: context.txErrors + 1, txSuccesses: 0 })),
    noteTxOk: assign(({ context }) => ({ txErrors: 0, txSuccesses: context.txSuccesses + 1 })),
    demoteForErrors: assign(({ context }) => ({
      demotion: withDemotion(context.demotion, 'senderr', SEND_ERROR_DEMOTION),
    })),
    undemoteForErrors: assign(({ context }) => ({
      demotion: withDemotion(context.demotion, 'senderr', 0),
    })),
    noteElection: assign(({ context }) => ({ flaps: context.flaps + 1 })),
    forgetElection: assign(({ context }) => ({ flaps: Math.max(0, context.flaps - 1) })),
    forgetFlapping: assign(({ context }) => (context.flaps <= 1 ? { flaps: 0, flapHolds: 0 } : {})),
    clearHolds: assign({ flaps: 0, flapHolds: 0, refusals: 0 }),
    noteFlapHold: assign(({ context }) => ({
      flapHolds: context.flapHolds + 1,
      reason: `${context.flaps} elections in ${context.settings.flapWindowMs / 1000} s`,
    })),
    noteTired: assign(({ context }) => ({ rested: context.settings.minBackupMs === 0 })),
    noteRested: assign({ rested: true }),
    noteUnsettled: assign(({ context }) => ({ settled: context.settings.minMasterMs === 0 })),
    noteSettled: assign({ settled: true }),
    noteStall: assign({ stalled: true }),
    forgetStall: assign({ stalled: false }),
    noteAddressTouched: assign({ addressMayBeUp: true }),
    noteServing: assign({ serving: true, refusals: 0 }),
    noteNotServing: assign({ serving: false }),
    noteAddressGone: assign({ addressMayBeUp: false }),
  },
});

/** Parameters of the effects, by name. */
export const regularAdvert = ({ context }: { context: AdvertiserContext }): AdvertToSend => {
  const candidate = candidateOf(context);
  return { says: announcementOf(candidate), gapLimitMs: downIntervalMs(candidate) };
};
export const firstAdvert = (args: { context: AdvertiserContext }): AdvertToSend => ({
  ...regularAdvert(args),
  gapLimitMs: null,
});
export const goodbye = ({ context }: { context: AdvertiserContext }): { says: Announcement } => ({
  says: goodbyeOf(candidateOf(context)),
});
export const flapAlarm = ({ context }: { context: AdvertiserContext }): FlapAlarm => ({
  holdMs: flapHold(context),
  flaps: context.flaps,
});
export const changeTo =
  (to: AdvertiserContext['carp']) =>
  ({ context }: { context: AdvertiserContext }): StateChange => ({
    from: context.carp,
    to,
    reason: context.reason,
  });
