/** The ports of a story's charts: each answers at once as it is told to, or waits for a word of the story. */

export type Outcome = 'ok' | 'fails' | 'stuck' | 'hangs';

export type PortOutcomes = Readonly<Record<string, Outcome | Readonly<Record<string, Outcome>>>>;

export class StoryPorts {
  /** Names of the ports that were called, in order. */
  readonly calls: string[] = [];
  #outcomes: PortOutcomes = {};
  readonly #hanging = new Map<string, (outcome: Outcome) => void>();

  set(outcomes: PortOutcomes): void {
    this.#outcomes = { ...this.#outcomes, ...outcomes };
  }

  /** Answers a call that hangs. */
  answer(name: string, outcome: Outcome): void {
    const waiting = this.#hanging.get(name);
    if (waiting === undefined) throw new Error(`nobody waits for an answer of ${name}`);
    this.#hanging.delete(name);
    waiting(outcome);
  }

  /** @param about the resource, where a port is one of several */
  async call(name: string, about: string | null = null): Promise<Outcome> {
    const full = about === null ? name : `${name} ${about}`;
    this.calls.push(full);
    const told = this.#outcomes[name] ?? 'ok';
    const outcome = typeof told === 'string' ? told : (told[about ?? ''] ?? 'ok');
    const came =
      outcome === 'hangs'
        ? await new Promise<Outcome>((resolve) => this.#hanging.set(full, resolve))
        : outcome;
    if (came === 'fails' && !name.endsWith('Hooks')) throw new Error(`${full} failed`);
    return came;
  }
}
