/** Ports, guards, delays and small memories of the group's chart. */
import { assign, setup } from 'xstate';

import { mayPromote } from '../src/model/decision.ts';
import type { Evidence } from '../src/model/evidence.ts';
import { wantsPrimary } from '../src/model/intent.ts';
import type { Epoch } from '../src/model/record.ts';
import type { NodeName } from '../src/model/roles.ts';
import type { Verdict } from '../src/model/verdict.ts';
import type { GroupContext, GroupEvent, GroupInput, HooksResult, Scope } from './group-context.ts';
import { effectPort, port } from './port.ts';
import { textOf } from './thrown.ts';

const MAX_HOLD_MS = 60_000;
const UNSTICK_MS = 10_000;

function needsOnly(code: string, verdict: Verdict): boolean {
  return verdict.answer === 'wait' && verdict.reasons.length === 1 && verdict.reasons[0]?.code === code;
}

export const groupSetup = setup({
  types: { context: {} as GroupContext, input: {} as GroupInput, events: {} as GroupEvent },
  actors: {
    settleSecondary: port<undefined, Scope>('settle-secondary'),
    claimConsent: port<undefined, Scope>('claim-consent'),
    fencePeer: port<undefined, Scope>('fence-peer'),
    prepareMembers: port<Epoch, Scope & { evidence: Evidence | null }>('prepare-members'),
    promoteMembers: port<undefined, Scope>('promote-members'),
    attachDevices: port<undefined, Scope>('attach-devices'),
    startHooks: port<HooksResult, Scope>('start-hooks'),
    raiseAddress: port<undefined, Scope>('raise-address'),
    lowerAddress: port<undefined, Scope & { rival: boolean }>('lower-address'),
    stopHooks: port<HooksResult, Scope>('stop-hooks'),
    detachDevices: port<undefined, Scope>('detach-devices'),
    releaseMembers: port<undefined, Scope & { handover: boolean }>('release-members'),
    handOver: port<undefined, Scope & { to: NodeName | null }>('hand-over'),
    takeBack: port<undefined, Scope>('take-back'),
  },
  guards: {
    wanted: ({ event }) => event.type === 'EVALUATE' && wantsPrimary(event.evidence, event.wishes) !== null,
    allowed: ({ event }) => event.type === 'EVALUATE' && mayPromote(event.evidence).answer === 'promote',
    onlyConsentMissing: ({ event }) =>
      event.type === 'EVALUATE' && needsOnly('needs-consent', mayPromote(event.evidence)),
    onlyFenceMissing: ({ event }) =>
      event.type === 'EVALUATE' && needsOnly('policy-consistent', mayPromote(event.evidence)),
    stopping: ({ context }) => context.stopping,
    handingOver: ({ context }) => context.handover,
    failing: ({ context }) => context.failures > 0,
    byHand: ({ context }) => context.byHand,
    leaving: ({ context }) => context.leaving,
    hooksOk: (_, params: { result: HooksResult }) => params.result.ok,
    hooksStuck: (_, params: { result: HooksResult }) => params.result.stuck,
  },
  delays: {
    hold: ({ context }) => Math.min(MAX_HOLD_MS, context.holdBaseMs * 2 ** Math.max(0, context.failures - 1)),
    retry: ({ context }) => context.retryMs,
    /** Holders may have ended by themselves. */
    unstick: UNSTICK_MS,
  },
  actions: {
    judge: assign({
      verdict: ({ event, context }) =>
        event.type === 'EVALUATE' ? mayPromote(event.evidence) : context.verdict,
      evidence: ({ event, context }) => (event.type === 'EVALUATE' ? event.evidence : context.evidence),
    }),
    noteWish: assign({
      reason: ({ event, context }) =>
        event.type === 'EVALUATE'
          ? (wantsPrimary(event.evidence, event.wishes) ?? context.reason)
          : context.reason,
    }),
    noteFailure: assign({
      failures: ({ context }) => context.failures + 1,
      error: (_, params: { error: unknown }) => textOf(params.error),
      reason: 'promotion failed',
      handover: false,
      handoverTo: null,
    }),
    noteError: assign({
      error: (_, params: { error: unknown }) => textOf(params.error),
    }),
    noteDemotion: assign({
      reason: ({ event, context }) =>
        event.type === 'DEMOTE' ? event.reason : event.type === 'STOP' ? 'the daemon stops' : context.reason,
      handoverTo: ({ event }) => (event.type === 'DEMOTE' || event.type === 'STOP' ? event.handoverTo : null),
      handover: ({ event }) =>
        (event.type === 'DEMOTE' || event.type === 'STOP') && event.handoverTo !== null,
      rival: ({ event }) => event.type === 'DEMOTE' && event.rival === true,
      stopping: ({ event, context }) => context.stopping || event.type === 'STOP',
      error: null,
      handoverError: null,
    }),
    noteHandoverError: assign({ handoverError: (_, params: { error: unknown }) => textOf(params.error) }),
    noteStop: assign({ stopping: true }),
    noteLeaving: assign({ leaving: true }),
    forgetLeaving: assign({ leaving: false }),
    forgetFailures: assign({ failures: 0, error: null }),
    forgetHandover: assign({ handover: false, handoverTo: null }),
    reportBlocked: effectPort<{ error: string | null }>('report-blocked'),
  },
});
