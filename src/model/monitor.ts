/** When a service that its hook is asked for counts as failed, and what is done about it. Pure. @see SAFETY C2, C5 */

/** How the hook of a service is asked for its `status`. */
export interface MonitorSettings {
  /** From the end of one look to the next. ms */
  readonly intervalMs: number;
  /** Of one look; a hook that takes longer is ended and counts as failed. ms */
  readonly timeoutMs: number;
  /** Good looks in a row that make a failed service well again. */
  readonly rise: number;
  /** Bad looks in a row after which something is done. */
  readonly fall: number;
  /** How often it is stopped and started here within `withinMs` before the group leaves this node. */
  readonly restarts: number;
  readonly withinMs: number;
}

/** What is known of a service after the looks so far. */
export interface ServiceRecord {
  readonly well: boolean;
  /** Looks in a row that found it running, or not. */
  readonly good: number;
  readonly bad: number;
  /** When it was restarted, within the window, oldest first. ms */
  readonly restartedAt: readonly number[];
}

export type ServiceRemedy = 'none' | 'restart' | 'leave';

/** A service that its `start` has just brought up. */
export const STARTED_SERVICE: ServiceRecord = { well: true, good: 0, bad: 0, restartedAt: [] };

/** One more look: `running` is true only when the hook itself said so in time. */
export function afterLook(
  record: ServiceRecord,
  running: boolean,
  at: number,
  settings: MonitorSettings,
): { readonly record: ServiceRecord; readonly remedy: ServiceRemedy } {
  const restartedAt = record.restartedAt.filter((then) => at - then < settings.withinMs);
  if (running) {
    const good = Math.min(record.good + 1, settings.rise);
    return {
      record: { well: record.well || good >= settings.rise, good, bad: 0, restartedAt },
      remedy: 'none',
    };
  }
  const bad = record.bad + 1;
  if (bad < settings.fall) return { record: { ...record, good: 0, bad, restartedAt }, remedy: 'none' };
  // What was done about it has `fall` looks to help.
  const failed = { well: false, good: 0, bad: 0 };
  if (restartedAt.length >= settings.restarts) return { record: { ...failed, restartedAt }, remedy: 'leave' };
  return { record: { ...failed, restartedAt: [...restartedAt, at] }, remedy: 'restart' };
}
