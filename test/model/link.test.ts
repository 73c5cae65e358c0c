import { describe, expect, it } from 'vitest';
import { createActor, SimulatedClock } from 'xstate';

import { linkMachine, type LinkVerdict } from '../../machines/link.ts';

function start() {
  const clock = new SimulatedClock();
  const said: LinkVerdict[] = [];
  const machine = linkMachine.provide({ actions: { notifyLink: (_, { state }) => void said.push(state) } });
  const actor = createActor(machine, { clock, input: { peer: 'hasta', promotionDelayMs: 500 } });
  actor.start();
  return { clock, said, actor };
}

describe('what is heard of the peer', () => {
  it('calls it silent only after the whole promotion delay without a word', () => {
    const { clock, said, actor } = start();
    actor.send({ type: 'HEARD' });
    clock.increment(499);
    expect(said).toEqual(['talking']);
    clock.increment(1);
    expect(said).toEqual(['talking', 'silent']);
  });

  it('starts the delay anew with every word', () => {
    const { clock, said, actor } = start();
    for (let word = 0; word < 20; word += 1) {
      actor.send({ type: 'HEARD' });
      clock.increment(400);
    }
    expect(said).toEqual(['talking']);
  });

  it('counts the silence from its own start when nothing was ever heard', () => {
    const { clock, said } = start();
    clock.increment(500);
    expect(said).toEqual(['silent']);
  });

  it('counts the silence anew from when the other node could be heard, also when it was called silent before', () => {
    const { clock, said, actor } = start();
    clock.increment(400);
    actor.send({ type: 'LISTENING' });
    clock.increment(499);
    expect(said).toEqual([]);
    clock.increment(1);
    expect(said).toEqual(['silent']);
    actor.send({ type: 'LISTENING' });
    clock.increment(499);
    expect([actor.getSnapshot().value, said]).toEqual(['unheard', ['silent']]);
  });

  it('takes a certain death at once, and takes it back when something is heard', () => {
    const { said, actor } = start();
    actor.send({ type: 'HEARD' });
    actor.send({ type: 'CERTAIN_DEATH' });
    expect(said).toEqual(['talking', 'dead']);
    actor.send({ type: 'HEARD' });
    expect(said).toEqual(['talking', 'dead', 'talking']);
  });

  it('knows a clean stop from a death', () => {
    const { said, actor } = start();
    actor.send({ type: 'HEARD' });
    actor.send({ type: 'GOODBYE' });
    expect(said).toEqual(['talking', 'left']);
  });
});
