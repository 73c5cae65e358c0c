import { describe, expect, it } from 'vitest';

import { groupMachine } from '../../../machines/group.ts';
import { resourceMachine } from '../../../machines/resource.ts';
import type { JournalEvent } from '../../../src/protocol/control.ts';
import { formatBytes, formatDuration, progressOf } from '../../../src/visualizer/page/format.ts';
import { eventName, lastTransitions } from '../../../src/visualizer/page/last-transition.ts';
import { EMPTY, withEvents, withNode } from '../../../src/visualizer/page/store.ts';
import { projectMachine } from '../../../src/visualizer/project.ts';
import { chart, nodeStatus } from '../../e2e/page-nodes.ts';

const group = projectMachine('group', groupMachine);
const resource = projectMachine('resource', resourceMachine);

function ways(graph: typeof group, before: unknown, now: unknown, event: string | null): string[] {
  const ids = lastTransitions(graph, before, now, event);
  return graph.transitions
    .filter(({ id }) => ids.includes(id))
    .map(({ source, target }) => `${source} -> ${target ?? ''}`);
}

describe('lastTransitions', () => {
  it.each([
    [
      'an event that enters a nested state',
      group,
      { standby: 'waiting' },
      { promoting: 'recording' },
      'EVALUATE',
      ['standby.waiting -> promoting'],
    ],
    [
      'the end of an invoke',
      group,
      { promoting: 'recording' },
      { promoting: 'opening' },
      'xstate.done.actor.prepareMembers',
      ['promoting.recording -> promoting.opening'],
    ],
    [
      'a delay',
      group,
      'holding',
      { standby: 'settling' },
      'xstate.after.hold.group.holding',
      ['holding -> standby'],
    ],
    [
      'an event of the whole machine',
      resource,
      { secondary: 'connected' },
      'failed',
      'ENGINE.DIED',
      [' -> failed'],
    ],
    [
      'the only way that the event leads there, when nothing was seen before',
      group,
      null,
      { primary: 'serving' },
      'xstate.done.actor.raiseAddress',
      ['primary.raisingAddress -> primary.serving'],
    ],
    ['nothing when more than one way is possible', group, null, { promoting: 'recording' }, 'EVALUATE', []],
    ['nothing without an event', group, { standby: 'waiting' }, 'stopped', null, []],
  ])('finds %s', (_, graph, before, now, event, expected) => {
    expect(ways(graph, before, now, event)).toEqual(expected);
  });

  it('names events for people', () => {
    expect(eventName('xstate.error.actor.startHooks')).toBe('startHooks failed');
    expect(eventName('xstate.after.hold.group.holding')).toBe('after hold');
    expect(eventName('DEMOTE')).toBe('DEMOTE');
  });
});

describe('the page state', () => {
  const at = (value: unknown, boot = 'one') => ({
    name: 'hasta',
    unreachableMs: null,
    status: { ...nodeStatus('hasta', 'hastb'), boot, charts: [chart('group.storage', value)] },
  });
  const before = (state: typeof EMPTY): unknown => state.nodes[0]?.before['group.storage'];

  it('remembers where a chart was before its last change, however often it is told', () => {
    let state = withNode(EMPTY, at('starting'), 0);
    expect(before(state)).toBeUndefined();
    for (const value of ['standby', 'standby', 'standby']) state = withNode(state, at(value), 1);
    expect(before(state)).toBe('starting');
  });

  it('forgets where charts were when the daemon was started anew', () => {
    const state = withNode(withNode(EMPTY, at('primary'), 0), at('starting', 'two'), 1);
    expect(before(state)).toBeUndefined();
  });

  it('counts from the time that the server says the node has been unreachable', () => {
    const state = withNode(EMPTY, { name: 'hasta', unreachableMs: 3000, status: null }, 10_000);
    expect(state.nodes[0]?.unreachableSince).toBe(7000);
  });

  it('merges events by wall time and keeps once what is told twice', () => {
    const event = (feed: string, seq: number, time: string): { feed: string; event: JournalEvent } => ({
      feed,
      event: { seq, time, at: 0, node: feed, kind: 'k', level: 'info', message: `${feed}${seq}` },
    });
    const a = event('a', 1, '2026-01-01T00:00:02.000Z');
    const b = event('b', 9, '2026-01-01T00:00:01.000Z');
    const { events } = withEvents(withEvents(EMPTY, [a]), [b, a]);
    expect(events.map((entry) => entry.event.message)).toEqual(['b9', 'a1']);
  });
});

describe('numbers', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1024, '1.00 KiB'],
    [734_003_200, '700 MiB'],
    [1_610_612_736, '1.50 GiB'],
  ])('writes %i bytes as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [40.4, '40 ms'],
    [3999, '3 s'],
    [61_000, '1 min 1 s'],
    [7_384_000, '2 h 3 min'],
    [200_000_000, '2 d 7 h'],
  ])('writes %f ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it.each([
    ['half way', { totalBytes: 200, doneBytes: 100, startedMsAgo: 5000 }, { share: 0.5, remainingMs: 5000 }],
    ['not begun', { totalBytes: 200, doneBytes: 0, startedMsAgo: 10 }, { share: 0, remainingMs: null }],
    ['nothing to do', { totalBytes: 0, doneBytes: 0, startedMsAgo: 10 }, { share: 1, remainingMs: 0 }],
    ['beyond its end', { totalBytes: 10, doneBytes: 20, startedMsAgo: 10 }, { share: 1, remainingMs: 0 }],
  ])('tells a resync that is %s', (_, sync, progress) => {
    expect(progressOf(sync)).toEqual(progress);
  });
});
