/** Advertisers on a virtual clock and a virtual segment, with a group that does as the test says. */
import { expect } from 'vitest';
import { createActor, fromPromise, SimulatedClock } from 'xstate';
import type { ActorRefFrom } from 'xstate';

import { advertiserMachine } from '../../machines/advertiser.ts';
import type { AdvertToSend, AdvertiserEvent, AdvertiserInput } from '../../machines/advertiser.ts';
import { expectStates, pathOf } from './expect-states.ts';
import type { StateRecord } from './expect-states.ts';

export interface Advertiser {
  readonly name: string;
  readonly actor: ActorRefFrom<typeof advertiserMachine>;
  readonly states: StateRecord;
  /** Everything that left the machine, in order. */
  readonly effects: string[];
  /** Makes the next call of a port fail or wait; the default succeeds at once. */
  readonly next: Record<'add' | 'remove' | 'drain', (() => Promise<unknown>) | null>;
  /** A group that promotes whenever adverts elect this node. */
  autoPromote: boolean;
  /** Adverts neither leave nor arrive. */
  deaf: boolean;
  /** Whether the address is on the interface. */
  addressUp: boolean;
  send(event: AdvertiserEvent): void;
  where(): string;
}

export interface Segment {
  readonly clock: SimulatedClock;
  readonly nodes: Advertiser[];
  add(name: string, input?: Partial<AdvertiserInput>): Advertiser;
  /** Lets virtual time pass in steps of 5 ms, with everything that becomes due. */
  pass(ms: number): Promise<void>;
  /** Until nothing is left to do without time passing. */
  settle(): Promise<void>;
}

export function segment(): Segment {
  const clock = new SimulatedClock();
  const nodes: Advertiser[] = [];
  const settle = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
  };
  const deliver = (from: Advertiser, advert: { advbase: number; advskew: number }): void => {
    if (from.deaf) return;
    for (const node of nodes) {
      if (node === from || node.deaf) continue;
      node.send({ type: 'RX', ...advert, demote: 0, source: from.name, at: clock.now() });
    }
  };
  const add = (name: string, input: Partial<AdvertiserInput> = {}): Advertiser => {
    const effects: string[] = [];
    const next: Advertiser['next'] = { add: null, remove: null, drain: null };
    const answer = async <T>(kind: 'add' | 'remove' | 'drain', value: T, done?: () => void): Promise<T> => {
      if (kind !== 'drain') effects.push(`${kind}...`);
      const override = next[kind];
      next[kind] = null;
      const result = override === null ? value : ((await override()) as T);
      done?.();
      return result;
    };
    const machine = advertiserMachine.provide({
      actors: {
        drainAdverts: fromPromise<{ heard: boolean }, undefined>(() => answer('drain', { heard: false })),
        addAddresses: fromPromise<undefined, undefined>(() =>
          answer('add', undefined, () => (node.addressUp = true)),
        ),
        removeAddresses: fromPromise<undefined, undefined>(() =>
          answer('remove', undefined, () => (node.addressUp = false)),
        ),
      },
      actions: {
        sendAdvert: (_: unknown, { advbase, advskew, gapLimitMs }: AdvertToSend) => {
          effects.push(`advert ${advbase}/${advskew}${gapLimitMs === null ? ' first' : ''}`);
          deliver(node, { advbase, advskew });
        },
        sendBowOut: () => {
          effects.push('bow-out');
          deliver(node, { advbase: 255, advskew: 255 });
        },
        announceAddresses: () => void effects.push('announce'),
        notifyState: (_: unknown, { from, to, reason }) => {
          effects.push(`${from} -> ${to}: ${reason}`);
          if (to === 'MASTER' && node.autoPromote) node.send({ type: 'GROUP.PROMOTED' });
        },
        notifyAddress: (_: unknown, { change, error }) => {
          effects.push(`address ${change}${error === null ? '' : `: ${error}`}`);
        },
      },
    });
    const actor = createActor(machine, {
      clock,
      input: {
        vhid: 1,
        advbase: 1,
        advskew: 0,
        preempt: false,
        mode: 'bsd',
        selfAddress: name,
        eligible: true,
        linkUp: true,
        seed: nodes.length + 1,
        ...input,
      },
    });
    const node: Advertiser = {
      name,
      actor,
      states: expectStates(actor),
      effects,
      next,
      autoPromote: false,
      deaf: false,
      addressUp: false,
      send: (event) => actor.send(event),
      where: () => pathOf(actor.getSnapshot().value),
    };
    nodes.push(node);
    actor.start();
    return node;
  };
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 5) {
      clock.increment(Math.min(5, left));
      await settle();
    }
  };
  return { clock, nodes, add, pass, settle };
}

/** Where a node can be. */
export const AT = {
  waiting: 'BACKUP.waiting',
  wanted: 'MASTER.adverts.sending+address.wanted',
  raising: 'MASTER.adverts.sending+address.raising',
  serving: 'MASTER.adverts.sending+address.serving',
} as const;

/** An advert as another node would have sent it. */
export const rx = (advbase: number, advskew: number, at = 0, source = '10.0.0.9'): AdvertiserEvent => ({
  type: 'RX',
  advbase,
  advskew,
  demote: 0,
  source,
  at,
});
export const refusing = (message: string) => () => Promise.reject(new Error(message));

/** A started node that hears nobody. */
export function backup(input: Partial<AdvertiserInput> = {}): { lan: Segment; node: Advertiser } {
  const lan = segment();
  const node = lan.add('10.0.0.1', input);
  node.send({ type: 'ADMIN.START' });
  node.states.restart();
  return { lan, node };
}

/** Elected, its group silent. */
export async function wanted(
  input: Partial<AdvertiserInput> = {},
): Promise<{ lan: Segment; node: Advertiser }> {
  const { lan, node } = backup(input);
  await lan.pass(4000);
  expect(node.where()).toBe(AT.wanted);
  node.states.restart();
  node.effects.splice(0);
  return { lan, node };
}

/** Elected, its group primary, the address up. */
export async function serving(
  input: Partial<AdvertiserInput> = {},
): Promise<{ lan: Segment; node: Advertiser }> {
  const { lan, node } = await wanted(input);
  node.send({ type: 'GROUP.PROMOTED' });
  await lan.settle();
  expect(node.where()).toBe(AT.serving);
  node.states.restart();
  node.effects.splice(0);
  return { lan, node };
}
