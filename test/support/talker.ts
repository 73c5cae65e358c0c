/** A process that is talked to by lines. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A process whose lines can be waited for. */
export interface Talker {
  readonly lines: readonly string[];
  /** The first line from index `from` on that fits; rejects with all lines after `ms`. */
  line(fits: (line: string) => boolean, ms: number, from?: number): Promise<string>;
  /** Called with every line, those that came before included. */
  each(listener: (line: string) => void): void;
  write(text: string): void;
  signal(signal: NodeJS.Signals): void;
  running(): boolean;
  /** Resolves when it has ended. */
  kill(signal: NodeJS.Signals): Promise<void>;
}

export function talk(child: ChildProcess): Talker {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const listeners: ((line: string) => void)[] = [];
  const note = (line: string): void => {
    lines.push(line);
    for (const look of waiting) look();
    for (const listener of listeners) listener(line);
  };
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream }).on('line', note);
  }
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    lines,
    line: (fits, ms, from = 0) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = lines.slice(from).find(fits);
          if (found === undefined) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(found);
        };
        const timer = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`no such line in ${ms} ms; all lines:\n${lines.join('\n')}`));
        }, ms);
        waiting.add(look);
        look();
      }),
    each: (listener) => {
      lines.forEach((line) => listener(line));
      listeners.push(listener);
    },
    write: (text) => void child.stdin?.write(text),
    running: () => child.exitCode === null && child.signalCode === null,
    signal: (signal) => void child.kill(signal),
    kill: async (signal) => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await ended;
    },
  };
}
