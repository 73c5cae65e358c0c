/** What a primary says to its peer beside requests, and waits for the answer to. */
import type { NvMap } from '../protocol/nv.ts';
import type { EngineCore } from './core.ts';
import { wordsFields } from './heartbeat.ts';
import type { Link } from './link.ts';

/** `syncstart`: it is a resync target from here on. `joined`: it has everything. Both are durable there when answered. */
type Word = 'syncstart' | 'joined';

export class ControlWords {
  readonly #core: EngineCore;
  /** By the answer that they wait for; answers come in the order of the words. */
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor(core: EngineCore) {
    this.#core = core;
  }

  /** Says it with our record, and waits. @returns false when the link died first */
  async say(link: Link, word: Word): Promise<boolean> {
    // Nobody would wake us: linkDied() has been.
    if (!link.isUp()) return false;
    const answer = new Promise<void>((resolve) => {
      const key = `${word}_ack`;
      this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), resolve]);
    });
    link.control([{ name: word, type: 'uint8', value: 1 }, ...wordsFields(this.#core)]);
    await answer;
    return link.isUp();
  }

  heard(nv: NvMap): void {
    for (const [answer, waiting] of this.#waiting) if (nv.has(answer)) waiting.shift()?.();
  }

  linkDied(): void {
    const all = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    for (const wake of all) wake();
  }
}
