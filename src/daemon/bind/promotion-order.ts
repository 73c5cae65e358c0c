/** What the members of a group are told when it is promoted. */
import type { PromotionOrder } from '../../../machines/resource.ts';
import { EngineError } from '../../model/errors.ts';
import { forced, operatorVouches } from '../../model/member-decision.ts';
import { peerPresence } from '../../model/presence.ts';
import type { Evidence } from '../../model/evidence.ts';
import type { Epoch } from '../../model/record.ts';
import type { NodeName } from '../../model/roles.ts';
import type { EngineCommand } from '../../replication/messages.ts';

/** @param evidence what the decision was made on */
export function promotionOrder(
  self: NodeName,
  peer: NodeName | null,
  epoch: Epoch,
  evidence: Evidence | null,
): PromotionOrder {
  const trigger = evidence?.trigger;
  const presence = evidence === null ? null : peerPresence(evidence);
  return {
    epoch,
    inSync: trigger?.kind === 'handover' && peer !== null ? [self, peer].sort() : [self],
    forced: evidence !== null && forced(evidence),
    vouched: evidence !== null && !forced(evidence) && operatorVouches(evidence),
    heardBefore: presence === 'silent' ? (evidence?.now ?? null) : null,
    earlierGone: presence === 'dead' || presence === 'fenced',
  };
}

export function needOrder(order: PromotionOrder | null): PromotionOrder {
  if (order === null)
    throw new EngineError('no-epoch', 'a resource was told to become primary without an epoch');
  return order;
}

export function prepareCommand(order: PromotionOrder | null): EngineCommand {
  const { epoch, inSync, forced, vouched, heardBefore, earlierGone } = needOrder(order);
  return {
    type: 'prepare-primary',
    epoch,
    inSync,
    ...(forced ? { forced } : {}),
    ...(vouched === true ? { vouched } : {}),
    ...(heardBefore === null ? {} : { heardBefore }),
    ...(earlierGone ? { earlierGone } : {}),
  };
}
