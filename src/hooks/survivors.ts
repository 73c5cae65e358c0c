/** Runs of hooks of which something survived SIGKILL. @see SAFETY C2, C3 */
import type { HookStep } from '../model/hook.ts';
import { goneWithin } from './process-group.ts';
import type { HookRun } from './process-group.ts';

interface Survivor {
  readonly run: HookRun;
  readonly what: string;
}

export class Survivors {
  readonly #groups = new Map<string, Survivor[]>();

  add({ group, name, verb }: HookStep, run: HookRun): void {
    this.#groups.set(group, [...(this.#groups.get(group) ?? []), { run, what: `hook ${name} ${verb}` }]);
  }

  /**
   * Waits for the last process of the group's hooks to go, `ms` at most for each.
   * @returns why no other hook of the group may start, or null
   */
  async inTheWay(group: string, ms: number): Promise<string | null> {
    const left: Survivor[] = [];
    for (const each of this.#groups.get(group) ?? []) if (!(await goneWithin(each.run, ms))) left.push(each);
    if (left.length > 0) this.#groups.set(group, left);
    else this.#groups.delete(group);
    const [first] = left;
    return first === undefined
      ? null
      : `${first.what} was killed, and some of its processes (group ${first.run.pgid}) survive: they wait for a device or file system that hangs`;
  }
}
