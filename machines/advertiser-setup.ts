/** Ports, guards, delays and small memories of the advertiser's chart. */
import { assign, setup } from 'xstate';

import {
  intervalsOf,
  isBowOut,
  nextRandom,
  standingOf,
  willTimeOut,
  withDemotion,
} from './advertiser-context.ts';
import type {
  AddressChange,
  AdvertToSend,
  AdvertiserContext,
  AdvertiserEvent,
  AdvertiserInput,
  StateChange,
} from './advertiser-context.ts';
import { effectPort, port } from './port.ts';

const MAX_HOLD_MS = 60_000;
/** Consecutive failures that demote us, and consecutive successes that undo it. */
const TX_STREAK = 3;
const STORAGE_DEMOTION = 240;
const SEND_ERROR_DEMOTION = 240;

const mayLead = (context: AdvertiserContext): boolean => context.eligible || context.holdsGroup;

export const advertiserSetup = setup({
  types: { context: {} as AdvertiserContext, input: {} as AdvertiserInput, events: {} as AdvertiserEvent },
  actors: {
    /** Reads every waiting advert (each becomes RX before this ends). */
    drainAdverts: port<{ heard: boolean }>('drain-adverts'),
    addAddresses: port('add-addresses'),
    removeAddresses: port('remove-addresses'),
  },
  guards: {
    mayRun: ({ context }) => context.started && context.linkUp,
    mayLead: ({ context }) => mayLead(context),
    holdsGroup: ({ context }) => context.holdsGroup,
    serving: ({ context }) => context.serving,
    addressMayBeUp: ({ context }) => context.addressMayBeUp,
    bowsOut: ({ context }) => context.bowOut && !context.reclaim,
    reclaiming: ({ context }) => context.reclaim && context.started && context.linkUp,
    refusedAndRunning: ({ context }) => context.refused && context.started && context.linkUp,
    stalled: ({ context }) => context.stalled,
    heard: (_, params: { heard: boolean }) => params.heard,
    better: ({ context, event }) => event.type === 'RX' && standingOf(context, event) === 'better',
    tied: ({ context, event }) => event.type === 'RX' && standingOf(context, event) === 'yield',
    slowerUnanswered: ({ context, event }) => {
      if (event.type !== 'RX' || isBowOut(event)) return false;
      const standing = standingOf(context, event);
      if (standing !== 'worse' && standing !== 'insist') return false;
      const { answeredAt } = context;
      return answeredAt === null || event.at - answeredAt >= intervalsOf(context).advIntervalMs / 2;
    },
    mayPreempt: ({ context, event }) =>
      event.type === 'RX' &&
      context.settings.preempt &&
      mayLead(context) &&
      standingOf(context, event) === 'worse',
    mayReplaceTooSlow: ({ context, event }) =>
      event.type === 'RX' && mayLead(context) && willTimeOut(context, event),
    masterLeft: ({ event }) => event.type === 'RX' && isBowOut(event),
    beyondAdvInterval: ({ context, event }) =>
      event.type === 'LOOP.STALL' && event.ms > intervalsOf(context).advIntervalMs,
    beyondDownInterval: ({ context, event }) =>
      event.type === 'LOOP.STALL' && event.ms > intervalsOf(context).downIntervalMs,
    sendingFails: ({ context }) => context.txErrors + 1 >= TX_STREAK && !('senderr' in context.demotion),
    sendingRecovered: ({ context }) => context.txSuccesses + 1 >= TX_STREAK && 'senderr' in context.demotion,
  },
  delays: {
    advInterval: ({ context }) => intervalsOf(context).advIntervalMs,
    downInterval: ({ context }) => intervalsOf(context).downIntervalMs + context.tieJitterMs,
    announceAgain: ({ context }) => 2 * intervalsOf(context).advIntervalMs,
    bowOutGap: ({ context }) => context.settings.bowOutGapMs,
    retry: ({ context }) => context.settings.retryMs,
    hold: ({ context }) =>
      Math.min(MAX_HOLD_MS, context.settings.holdBaseMs * 2 ** Math.max(0, context.refusals - 1)),
  },
  actions: {
    sendAdvert: effectPort<AdvertToSend>('send-advert'),
    sendBowOut: effectPort('send-bow-out'),
    announceAddresses: effectPort('announce-addresses'),
    notifyState: effectPort<StateChange>('notify-state'),
    notifyAddress: effectPort<AddressChange>('notify-address'),

    enter: assign((_, params: { to: AdvertiserContext['carp'] }) => ({ carp: params.to })),
    because: assign((_, params: { reason: string }) => ({ reason: params.reason })),
    leave: assign((_, params: { reason: string; bowOut: boolean }) => ({
      ...params,
      reclaim: false,
      refused: false,
    })),
    forgetLeaving: assign({ bowOut: false, reclaim: false, refused: false }),
    noteStarted: assign({ started: true, reason: 'started' }),
    noteStopped: assign({ started: false, holdsGroup: false, reclaim: false }),
    noteLinkUp: assign({ linkUp: true, reason: 'link up' }),
    noteLinkDown: assign({ linkUp: false, reason: 'link down' }),
    noteHeard: assign(({ event }) => {
      if (event.type !== 'RX') return {};
      const { type: _type, ...heard } = event;
      return { lastHeard: heard, tieJitterMs: 0, stalled: false };
    }),
    noteAnswer: assign(({ event }) => (event.type === 'RX' ? { answeredAt: event.at } : {})),
    breakTie: assign(({ context }) => {
      const { seed, fraction } = nextRandom(context.seed);
      const spreadMs = context.settings.advbase * 1000 || intervalsOf(context).advIntervalMs;
      return { seed, tieJitterMs: (fraction * spreadMs) / 4 };
    }),
    notePromoted: assign({ holdsGroup: true, reclaim: true }),
    noteNotPrimary: assign({ holdsGroup: false, reclaim: false }),
    noteRefusal: assign(({ context, event }) => ({
      holdsGroup: false,
      reclaim: false,
      refused: true,
      refusals: context.refusals + 1,
      reason: event.type === 'GROUP.DEMOTED' ? event.reason : context.reason,
    })),
    withhold: assign(({ context }) => ({
      eligible: false,
      demotion: withDemotion(context.demotion, 'storage', STORAGE_DEMOTION),
    })),
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
    noteStall: assign({ stalled: true }),
    forgetStall: assign({ stalled: false }),
    noteAddressTouched: assign({ addressMayBeUp: true }),
    noteServing: assign({ serving: true, refusals: 0 }),
    noteNotServing: assign({ serving: false }),
    noteAddressGone: assign({ addressMayBeUp: false }),
  },
});

/** Parameters of the effects, by name. */
export const regularAdvert = ({ context }: { context: AdvertiserContext }): AdvertToSend => ({
  advbase: context.settings.advbase,
  advskew: intervalsOf(context).effectiveSkew,
  gapLimitMs: intervalsOf(context).downIntervalMs,
});
export const firstAdvert = (args: { context: AdvertiserContext }): AdvertToSend => ({
  ...regularAdvert(args),
  gapLimitMs: null,
});
export const changeTo =
  (to: AdvertiserContext['carp']) =>
  ({ context }: { context: AdvertiserContext }): StateChange => ({
    from: context.carp,
    to,
    reason: context.reason,
  });
