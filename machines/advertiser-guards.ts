/** The questions that the advertiser's chart asks before it moves. */
import { candidateOf, preemptDelayOver, standingOf } from './advertiser-context.ts';
import type { AdvertiserContext, AdvertiserEvent } from './advertiser-context.ts';
import {
  advertIntervalMs,
  compareDemotion,
  downIntervalMs,
  isGoodbye,
  ownsAddresses,
  preemptsAtOnce,
  willTimeOut,
} from '../src/model/election.ts';

/** Consecutive failures that demote us, and consecutive successes that undo it. */
const TX_STREAK = 3;

interface Asked {
  readonly context: AdvertiserContext;
  readonly event: AdvertiserEvent;
}

const mayLead = (context: AdvertiserContext): boolean => context.eligible || context.holdsGroup;
const mayRun = (context: AdvertiserContext): boolean =>
  context.started && context.linkUp && context.faults.length === 0;
const owns = (context: AdvertiserContext): boolean => ownsAddresses(candidateOf(context));

/** A worse MASTER speaks, and we want its place. */
function wantsPlace({ context, event }: Asked): boolean {
  if (event.type !== 'RX' || isGoodbye(event.says) || !mayLead(context)) return false;
  if (standingOf(context, event) !== 'worse') return false;
  if (owns(context)) return true;
  const patient = context.rested && preemptDelayOver(context, event.at);
  return context.settings.preempt && patient && compareDemotion(candidateOf(context), event.says) >= 0;
}

export const advertiserGuards = {
  mayRun: ({ context }: Asked) => mayRun(context),
  mayRunAsOwner: ({ context }: Asked) => mayRun(context) && mayLead(context) && owns(context),
  mayLeadAsOwner: ({ context }: Asked) => owns(context),
  mayLead: ({ context }: Asked) => mayLead(context),
  namesRival: ({ event }: Asked) => event.type === 'GROUP.DEMOTING' && event.rival,
  hasRival: ({ context }: Asked) => context.rival,
  holdsGroup: ({ context }: Asked) => context.holdsGroup,
  heldByNobody: ({ context }: Asked) => !context.holdsGroup,
  serving: ({ context }: Asked) => context.serving,
  addressMayBeUp: ({ context }: Asked) => context.addressMayBeUp,
  bowsOut: ({ context }: Asked) => context.bowOut && !context.reclaim,
  reclaiming: ({ context }: Asked) => context.reclaim && mayRun(context),
  refusedAndRunning: ({ context }: Asked) => context.refused && mayRun(context),
  flapsTooMuch: ({ context }: Asked) => {
    const { flapBudget } = context.settings;
    return flapBudget > 0 && context.flaps > flapBudget && mayRun(context);
  },
  saysGoodbyeOnce: ({ context }: Asked) => context.settings.election.protocol !== 'carp',
  unsettled: ({ context }: Asked) => !context.settled,
  stalled: ({ context }: Asked) => context.stalled,
  heard: (_: unknown, params: { heard: boolean }) => params.heard,
  better: ({ context, event }: Asked) => event.type === 'RX' && standingOf(context, event) === 'better',
  tied: ({ context, event }: Asked) => event.type === 'RX' && standingOf(context, event) === 'yield',
  slowerUnanswered: ({ context, event }: Asked) => {
    if (event.type !== 'RX') return false;
    if (isGoodbye(event.says)) return event.says.protocol === 'vrrp';
    const standing = standingOf(context, event);
    if (standing !== 'worse' && standing !== 'insist') return false;
    const { answeredAt } = context;
    return answeredAt === null || event.at - answeredAt >= advertIntervalMs(candidateOf(context)) / 2;
  },
  mayPreempt: (asked: Asked) => wantsPlace(asked) && preemptsAtOnce(candidateOf(asked.context)),
  waitsOut: (asked: Asked) => wantsPlace(asked),
  mayReplaceDemoted: ({ context, event }: Asked) =>
    event.type === 'RX' && mayLead(context) && compareDemotion(candidateOf(context), event.says) > 0,
  mayReplaceTooSlow: ({ context, event }: Asked) =>
    event.type === 'RX' && mayLead(context) && willTimeOut(candidateOf(context), event.says),
  masterLeft: ({ event }: Asked) => event.type === 'RX' && isGoodbye(event.says),
  masterLeftForUs: ({ context, event }: Asked) =>
    event.type === 'RX' && isGoodbye(event.says) && event.says.protocol === 'vrrp' && mayLead(context),
  beyondAdvInterval: ({ context, event }: Asked) =>
    event.type === 'LOOP.STALL' && event.ms > advertIntervalMs(candidateOf(context)),
  beyondDownInterval: ({ context, event }: Asked) =>
    event.type === 'LOOP.STALL' && event.ms > downIntervalMs(candidateOf(context)),
  linkUpLater: ({ context }: Asked) => context.settings.linkUpDelayMs > 0,
  linkDownLater: ({ context }: Asked) => context.settings.linkDownDelayMs > 0,
  sendingFails: ({ context }: Asked) => context.txErrors + 1 >= TX_STREAK && !('senderr' in context.demotion),
  sendingRecovered: ({ context }: Asked) =>
    context.txSuccesses + 1 >= TX_STREAK && 'senderr' in context.demotion,
};
