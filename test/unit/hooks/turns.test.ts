import { describe, expect, it } from 'vitest';

import { Turns } from '../../../src/hooks/turns.ts';

/** Work that ends when it is told to. */
function work(name: string, log: string[]) {
  let end: (error?: Error) => void = () => undefined;
  const ended = new Promise<string>((resolve, reject) => {
    end = (error) => {
      log.push(`end ${name}`);
      if (error === undefined) resolve(name);
      else reject(error);
    };
  });
  return { end: (error?: Error) => end(error), run: () => (log.push(`begin ${name}`), ended) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('Turns', () => {
  it('lets the next begin when the last has ended, even badly, and hands results on', async () => {
    const log: string[] = [];
    const [first, second] = [work('first', log), work('second', log)];
    const turns = new Turns();
    const failing = expect(turns.take('storage', first.run)).rejects.toThrow('broken');
    const result = turns.take('storage', second.run);
    await settled();
    expect(log).toEqual(['begin first']);
    first.end(new Error('broken'));
    await failing;
    await settled();
    second.end();
    expect(await result).toBe('second');
    expect(log).toEqual(['begin first', 'end first', 'begin second', 'end second']);
  });

  it('does not let one group wait for another', async () => {
    const log: string[] = [];
    const [slow, other] = [work('slow', log), work('other', log)];
    const turns = new Turns();
    const waiting = turns.take('storage', slow.run);
    const result = turns.take('web', other.run);
    other.end();
    expect(await result).toBe('other');
    slow.end();
    await waiting;
  });
});
