/** What a primary needs before it goes on without a peer that does not say itself that it is out. @see SAFETY A3, B8, F */
import type { HastateSettings } from '../../model/settings.ts';
import type { AloneNeeds } from '../../replication/ports.ts';
import { LeaseMemory } from '../engine/lease-memory.ts';

/** Memory for the evidence about one resource, in which nothing was heard yet. */
export function leaseOf(settings: HastateSettings, resource: string): LeaseMemory {
  const lease = new LeaseMemory();
  lease.setAloneNeeds(aloneNeeds(settings, resource));
  return lease;
}

export function aloneNeeds({ groups, references }: HastateSettings, resource: string): AloneNeeds {
  const group = groups.find(({ resources }) => resources.includes(resource));
  if (group?.policy === 'consistent') return 'fence';
  return references.length > 0 ? 'references' : 'silence';
}
