/** Ports of a chart that a test answers by hand, so that every order of answers can be tried. */
import { fromPromise, type PromiseActorLogic } from 'xstate';

export interface HandPort<Output, Input> {
  readonly logic: PromiseActorLogic<Output, Input>;
  /** Calls that wait for an answer. */
  readonly waiting: number;
  /** Calls so far. */
  readonly calls: readonly unknown[];
  answer(output: Output): Promise<void>;
  fail(message: string): Promise<void>;
}

export function handPort<Output = undefined, Input = undefined>(): HandPort<Output, Input> {
  const waiting: { resolve: (output: Output) => void; reject: (error: Error) => void }[] = [];
  const calls: unknown[] = [];
  const next = () => {
    const call = waiting.shift();
    if (call === undefined) throw new Error('nobody waits for an answer of this port');
    return call;
  };
  return {
    logic: fromPromise<Output, Input>(({ input }) => {
      calls.push(input);
      return new Promise<Output>((resolve, reject) => {
        waiting.push({ resolve, reject });
      });
    }),
    get waiting() {
      return waiting.length;
    },
    calls,
    async answer(output) {
      next().resolve(output);
      await settled();
    },
    async fail(message) {
      next().reject(new Error(message));
      await settled();
    },
  };
}

/** Until all promises that are ready have run on. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}
