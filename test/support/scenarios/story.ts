/**
 * One node through a list of events: the shipped charts of its group, its resources and the link to its peer on a
 * virtual clock. Around them what the daemon does: a look every 25 ms, evidence of what was heard, the node's ports.
 */
import { expect } from 'vitest';

import type { Evidence, MemberEvidence, Trigger } from '../../../src/model/evidence.ts';
import type { Wishes } from '../../../src/model/intent.ts';
import type { PathName } from '../../../src/model/roles.ts';
import type { ExpectedVerdict } from './decision.ts';
import type { Given } from '../evidence.ts';
import { StoryNode } from './story-node.ts';
import type { Outcome, PortOutcomes } from './story-ports.ts';

export interface StoryStep {
  /** ms since the daemon started. */
  readonly at: number;
  /** Paths on which the peer is heard from now on. */
  readonly talks?: readonly PathName[];
  /** What the peer says of itself, while it talks. Null: nothing yet. */
  readonly report?: Given['report'];
  readonly link?: 'up' | 'down';
  /** Facts about all members, or about some by name. */
  readonly member?: Partial<MemberEvidence>;
  readonly members?: Readonly<Record<string, Partial<MemberEvidence>>>;
  readonly certainDeath?: true;
  readonly goodbye?: true;
  readonly wishes?: Partial<Wishes>;
  /** Facts about the node. */
  readonly facts?: Partial<Evidence>;
  readonly fenced?: true;
  /** The record names only this node. */
  readonly alone?: true;
  readonly operator?: Omit<Extract<Trigger, { kind: 'operator' }>, 'kind'>;
  readonly handover?: true;
  readonly demote?: { readonly to: string | null };
  readonly stop?: { readonly to: string | null };
  readonly retry?: true;
  readonly ports?: PortOutcomes;
  readonly answer?: Readonly<Record<string, Outcome>>;
  readonly engineDied?: string;
  readonly engineEvent?: Readonly<Record<string, string>>;
  /** The process stands still for so long, ms. */
  readonly standsStill?: number;
  readonly expect?: {
    /** Dotted state, or how it begins. */
    readonly group?: string;
    readonly link?: string;
    readonly resources?: Readonly<Record<string, string>>;
    readonly verdict?: ExpectedVerdict;
    /** Ports called since the last look, in this order. */
    readonly calls?: readonly string[];
    readonly epoch?: number;
    readonly error?: string | null;
    readonly failures?: number;
  };
}

export interface StoryScenario {
  readonly events: readonly StoryStep[];
  readonly resources?: readonly string[];
  /** Facts about the node from the start. */
  readonly node?: Partial<Evidence>;
  readonly byHand?: boolean;
}

export async function runStory(story: StoryScenario): Promise<void> {
  const node = new StoryNode(story.resources ?? ['disk1'], story.node ?? {}, story.byHand ?? false);
  await node.start();
  for (const step of story.events) {
    await node.pass(step.at);
    await node.take(step);
    if (step.expect !== undefined) check(node, step);
  }
  node.end();
}

function check(node: StoryNode, { at, expect: expected = {} }: StoryStep): void {
  const when = `at ${at} ms`;
  if (expected.group !== undefined) expect(node.groupState, when).toMatch(startOf(expected.group));
  if (expected.link !== undefined) expect(node.linkState, when).toMatch(startOf(expected.link));
  for (const [name, state] of Object.entries(expected.resources ?? {}))
    expect(node.resourceState(name), `${name} ${when}`).toMatch(startOf(state));
  if (expected.verdict !== undefined) {
    const { verdict } = node.context;
    expect(verdict?.answer, when).toBe(expected.verdict.answer);
    const codes = verdict?.reasons.map(({ rule, code }) => `${rule} ${code}`) ?? [];
    for (const reason of expected.verdict.reasons ?? []) expect(codes, when).toContain(reason);
  }
  if (expected.calls !== undefined) expect(node.ports.calls, when).toEqual(expected.calls);
  node.ports.calls.length = 0;
  if (expected.epoch !== undefined) expect(node.context.epoch?.number, when).toBe(expected.epoch);
  if (expected.failures !== undefined) expect(node.context.failures, when).toBe(expected.failures);
  if (expected.error === null) expect(node.context.error, when).toBeNull();
  else if (expected.error !== undefined) expect(node.context.error, when).toContain(expected.error);
}

function startOf(state: string): RegExp {
  return new RegExp(`^${state.replaceAll('.', '\\.').replaceAll('+', '\\+')}`);
}
