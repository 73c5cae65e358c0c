/** What an operator asks of a comparison of both disks. */
import { EngineError } from '../model/errors.ts';
import type { EngineCore } from './core.ts';
import type { EngineCommand } from './messages.ts';
import type { Peering } from './peering.ts';
import { Verify } from './verify.ts';

type Order = Extract<EngineCommand, { type: 'verify' }>;

/** @throws EngineError `not-primary`, `not-in-sync`, `verify-running` */
export function orderVerify(core: EngineCore, peering: Peering | null, order: Order): void {
  const { name } = core.setup.resource;
  if (order.action === 'stop') {
    core.verify?.stop();
    return;
  }
  if (peering === null)
    throw new EngineError(
      'not-primary',
      `${name} is verified by its primary, which is not this node: ask there`,
    );
  if (core.verify?.running === true)
    throw new EngineError(
      'verify-running',
      `${name} is being verified already: see 'hastate status', or end it with 'hastate verify ${name} --stop'`,
    );
  const { link } = peering.primary;
  if (link === null || !link.isUp() || !peering.joined)
    throw new EngineError(
      'not-in-sync',
      `the disks of ${name} are not in sync, so they differ anyway: verify it when the peer is connected and the resync has ended`,
    );
  const verify = new Verify(
    core,
    link,
    {
      busy: () => peering.primary.running > 0,
      wrote: () => peering.primary.flusher.wrote(),
      dirtied: () => peering.copyDirty(),
      becameStale: () => void peering.own.lean(),
    },
    { rate: order.rate ?? core.setup.resyncRate ?? 0, repair: order.repair },
  );
  core.verify = verify;
  verify.start();
}
