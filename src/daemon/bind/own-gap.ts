/**
 * Notices that this process stood still, or that the peer spoke for long without hearing us: then it
 * may have gone on alone, and its silence from before counts for nothing. @see SAFETY A4, B3
 */
import type { Runtime } from '../runtime.ts';
import type { Member } from './members.ts';

export class OwnGap {
  readonly #runtime: Runtime;
  #lastLookAt: number;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#lastLookAt = runtime.clock.now();
  }

  /**
   * Called by the tick, before anything is judged.
   * @param cutOff this node lost its references as well: the peer may go on alone while it waits
   */
  look(members: Iterable<Member>, cutOff: boolean): void {
    const { clock, settings, wake } = this.#runtime;
    const { heartbeatMs, holdMs } = settings.timing;
    const now = clock.now();
    const gap = now - this.#lastLookAt;
    this.#lastLookAt = now;
    if (gap > 2 * heartbeatMs) wake.since = now;
    const longEnough = gap >= holdMs - 2 * heartbeatMs;
    if (longEnough) this.#runtime.log('warn', `this node stood still for ${Math.round(gap)} ms`);
    for (const member of members) {
      if (member.snapshot === null || member.snapshot.role === 'primary') continue;
      const silent = now - member.lease.heardAt() >= holdMs;
      const unheard = member.lease.heardAt() - member.lease.aliveAt();
      if (longEnough) doubt(member, now, `this node stood still for ${Math.round(gap)} ms`);
      else if (cutOff && silent) doubt(member, now, 'this node was cut off');
      else if (Number.isFinite(unheard) && unheard >= holdMs) {
        doubt(member, now, `the peer spoke for ${Math.round(unheard)} ms and did not hear this node`);
      }
    }
  }
}

function doubt(member: Member, since: number, what: string): void {
  if (member.doubt === null || member.doubt.since < since - 1000) {
    member.doubt = { since, why: `${what}: the peer may have gone on alone` };
  }
}
