/** Moves groups back to the node that they prefer, when the configuration says so and it is safe. */
import { describeError } from '../../model/errors.ts';
import { type FailbackState, lookAtFailback, NO_FAILBACK } from '../../model/failback.ts';
import type { Runtime } from '../runtime.ts';
import { switchToPeer } from '../switchover.ts';
import type { Group } from './group.ts';

export class Failback {
  readonly #runtime: Runtime;
  readonly #states = new Map<string, FailbackState>();
  #moving = false;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Called again and again. One group moves at a time. */
  look(groups: Iterable<Group>): void {
    const { clock, settings: all } = this.#runtime;
    for (const group of groups) {
      const { settings } = group;
      if (settings.failback === 'never' || settings.prefer !== all.peer?.name) continue;
      const before = this.#states.get(settings.name) ?? NO_FAILBACK;
      const { state, move } = lookAtFailback(settings, before, {
        now: clock.now(),
        serving: group.state === 'primary.serving',
        stays: group.staysBecause('failback'),
        busy: this.#moving,
      });
      this.#states.set(settings.name, state);
      if (move) void this.#move(group, settings.prefer);
    }
  }

  async #move(group: Group, to: string): Promise<void> {
    const { journal } = this.#runtime;
    const { name } = group.settings;
    this.#moving = true;
    try {
      journal.add({
        kind: 'failback.started',
        level: 'info',
        group: name,
        message: `${name} goes back to ${to}, which is in sync and preferred`,
      });
      await switchToPeer(this.#runtime, group);
    } catch (error) {
      journal.add({
        kind: 'failback.failed',
        level: 'warn',
        group: name,
        message: `${name} did not go back to ${to}: ${describeError(error)}; it is tried again later`,
      });
    } finally {
      this.#moving = false;
    }
  }
}
