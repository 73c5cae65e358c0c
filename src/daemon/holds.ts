/** The operator's holds of this node: `<stateDir>/holds.json`, durable before they count. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describeError, HastateError } from '../model/errors.ts';
import { type HoldReason, holdOf, type Holds, NO_HOLDS, readHolds } from '../model/holds.ts';
import { replaceDurably } from './engine/durable-file.ts';

export class HoldStore {
  readonly #path: string;
  #holds: Holds = NO_HOLDS;
  #last: Promise<unknown> = Promise.resolve();

  constructor(stateDir: string) {
    this.#path = join(stateDir, 'holds.json');
  }

  get all(): Holds {
    return this.#holds;
  }

  of(group: string): HoldReason | null {
    return holdOf(this.#holds, group);
  }

  /** @throws HastateError `holds-unreadable`: what an operator forbade must not happen because a file is torn */
  async load(): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return;
      throw this.#unreadable(cause);
    }
    try {
      this.#holds = readHolds(JSON.parse(text));
    } catch (cause) {
      throw this.#unreadable(cause);
    }
  }

  /** @param reason null ends it. @throws HastateError `holds-not-kept`; then nothing changed */
  async setStandby(reason: string | null): Promise<void> {
    await this.#change((now) => ({ ...now, standby: reason === null ? null : holdNow(reason) }));
  }

  /** As setStandby(). */
  async setMaintenance(group: string, reason: string | null): Promise<void> {
    await this.#change((now) => {
      const { [group]: _, ...others } = now.maintenance;
      return { ...now, maintenance: reason === null ? others : { ...others, [group]: holdNow(reason) } };
    });
  }

  /** One after another: each is made of what the one before left. */
  #change(change: (now: Holds) => Holds): Promise<void> {
    const mine = this.#last.then(() => this.#keep(change(this.#holds)));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #keep(holds: Holds): Promise<void> {
    try {
      await replaceDurably(this.#path, `${JSON.stringify(holds, null, 2)}\n`);
    } catch (cause) {
      throw new HastateError(
        'holds-not-kept',
        `${this.#path} cannot be written (${describeError(cause)}), so nothing was changed: make room there`,
        { cause },
      );
    }
    this.#holds = holds;
  }

  #unreadable(cause: unknown): HastateError {
    return new HastateError(
      'holds-unreadable',
      `${this.#path}, which keeps what an operator put on hold, cannot be read: ${describeError(cause)}; ` +
        'mend it, or remove it and set the holds again',
      { cause },
    );
  }
}

function holdNow(reason: string): { since: string; reason: string } {
  return { since: new Date().toISOString(), reason };
}
