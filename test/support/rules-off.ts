/** Daemons that a test starts without one of the safety rules. */
import { preloaded } from './preload.ts';

/** Every daemon that `start` has started when it returns runs without this rule; with null it has them all. */
export function withoutRule<T>(rule: string | null, start: () => T): T {
  return rule === null ? start() : preloaded('rules-off.mjs', { RULE_OFF: rule }, start);
}
