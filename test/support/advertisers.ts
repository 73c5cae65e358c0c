/** Advertisers on a virtual clock and a virtual segment, with a group that does as the test says. */
import { expect } from 'vitest';
import { createActor, fromPromise, SimulatedClock } from 'xstate';
import type { ActorRefFrom } from 'xstate';

import { advertiserMachine } from '../../machines/advertiser.ts';
import type { AdvertToSend, AdvertiserEvent, AdvertiserInput } from '../../machines/advertiser.ts';
import type { Announcement, CarpTieBreak, VrrpElection } from '../../src/model/election.ts';
import { expectStates, pathOf } from './expect-states.ts';
import type { StateRecord } from './expect-states.ts';

/** CARP by default; `vrrp` makes it a node of VRRP 3 with 1 s between adverts. */
export interface NodeInput extends Partial<AdvertiserInput> {
  readonly advbase?: number;
  readonly advskew?: number;
  readonly mode?: CarpTieBreak;
  readonly selfAddress?: string | null;
  readonly vrrp?: Partial<VrrpElection>;
}

function inputOf(name: string, node: NodeInput, seed: number): AdvertiserInput {
  const { advbase = 1, advskew = 0, mode = 'bsd', selfAddress = name, vrrp, ...rest } = node;
  return {
    election:
      vrrp === undefined
        ? { protocol: 'carp', advbase, advskew, tieBreak: mode }
        : { protocol: 'vrrp3', priority: 100, intervalMs: 1000, downAdverts: 3, ...vrrp },
    preempt: false,
    selfAddresses: selfAddress === null ? [] : [selfAddress],
    eligible: true,
    linkUp: true,
    seed,
    ...rest,
  };
}

/** `1/100` for CARP, `prio 100` for VRRP. */
function wordsOf(says: Announcement): string {
  if (says.protocol === 'vrrp') return `prio ${says.priority}`;
  return `${says.advbase}/${says.advskew}${says.demote === 0 ? '' : ` demoted ${says.demote}`}`;
}

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
  add(name: string, input?: NodeInput): Advertiser;
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
  const deliver = (from: Advertiser, says: Announcement): void => {
    if (from.deaf) return;
    for (const node of nodes) {
      if (node === from || node.deaf) continue;
      node.send({ type: 'RX', says, source: from.name, at: clock.now() });
    }
  };
  const add = (name: string, input: NodeInput = {}): Advertiser => {
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
        sendAdvert: (_: unknown, { says, gapLimitMs }: AdvertToSend) => {
          effects.push(`advert ${wordsOf(says)}${gapLimitMs === null ? ' first' : ''}`);
          deliver(node, says);
        },
        sendBowOut: (_: unknown, { says }) => {
          effects.push('bow-out');
          deliver(node, says);
        },
        notifyFlapping: (_: unknown, { holdMs, flaps }) => {
          effects.push(`flapping: ${flaps}, held for ${holdMs} ms`);
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
    const actor = createActor(machine, { clock, input: inputOf(name, input, nodes.length + 1) });
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
export const rx = (advbase: number, advskew: number, at = 0, source = '10.0.0.9'): AdvertiserEvent =>
  rxOf({ protocol: 'carp', advbase, advskew, demote: 0 }, at, source);
export const rxVrrp = (priority: number, at = 0, source = '10.0.0.9', intervalMs = 1000): AdvertiserEvent =>
  rxOf({ protocol: 'vrrp', priority, intervalMs }, at, source);
export const rxOf = (says: Announcement, at = 0, source = '10.0.0.9'): AdvertiserEvent => ({
  type: 'RX',
  says,
  source,
  at,
});
export const refusing = (message: string) => () => Promise.reject(new Error(message));

/** A started node that hears nobody. */
export function backup(input: NodeInput = {}): { lan: Segment; node: Advertiser } {
  const lan = segment();
  const node = lan.add('10.0.0.1', input);
  node.send({ type: 'ADMIN.START' });
  node.states.restart();
  return { lan, node };
}

/** Elected, its group silent. */
export async function wanted(input: NodeInput = {}): Promise<{ lan: Segment; node: Advertiser }> {
  const { lan, node } = backup(input);
  await lan.pass(4000);
  expect(node.where()).toBe(AT.wanted);
  node.states.restart();
  node.effects.splice(0);
  return { lan, node };
}

/** Elected, its group primary, the address up. */
export async function serving(input: NodeInput = {}): Promise<{ lan: Segment; node: Advertiser }> {
  const { lan, node } = await wanted(input);
  node.send({ type: 'GROUP.PROMOTED' });
  await lan.settle();
  expect(node.where()).toBe(AT.serving);
  node.states.restart();
  node.effects.splice(0);
  return { lan, node };
}
