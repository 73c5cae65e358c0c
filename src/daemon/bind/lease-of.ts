/** The shared evidence about one resource, as its settings want it weighed. */
import type { HastateSettings } from '../../model/settings.ts';
import { aloneNeeds } from '../../model/without-peer.ts';
import { LeaseMemory } from '../engine/lease-memory.ts';

/** Memory for the evidence about one resource, in which nothing was heard yet. */
export function leaseOf(settings: HastateSettings, resource: string): LeaseMemory {
  const lease = new LeaseMemory();
  lease.setAloneNeeds(aloneNeeds(settings, resource));
  return lease;
}
