import { describe, expect, it } from 'vitest';

import { machines } from '../../../machines/index.ts';
import { pathsOfValue, transitionLabel } from '../../../src/visualizer/graph.ts';
import { projectMachine } from '../../../src/visualizer/project.ts';
import { smallMachine } from './small-machine.ts';

const graph = projectMachine('small', smallMachine);

describe('projectMachine', () => {
  it('tells every state with its path, kind, parent and what is entered first', () => {
    expect(graph.states.map(({ path, parent, kind, initial }) => [path, parent, kind, initial])).toEqual([
      ['', null, 'compound', false],
      ['waiting', '', 'atomic', true],
      ['working', '', 'compound', false],
      ['working.first', 'working', 'atomic', true],
      ['working.second', 'working', 'final', false],
      ['both', '', 'parallel', false],
      ['both.left', 'both', 'atomic', false],
      ['both.right', 'both', 'compound', false],
      ['both.right.on', 'both.right', 'atomic', true],
      ['both.right.off', 'both.right', 'atomic', false],
      ['over', '', 'final', false],
    ]);
  });

  it('tells descriptions, invokes and named actions, not the book-keeping of XState', () => {
    expect(graph.description).toBe('One of everything');
    const waiting = graph.states.find(({ path }) => path === 'waiting');
    expect(waiting).toMatchObject({ description: 'Nothing to do', entry: ['enter'], exit: ['leave'] });
    const working = graph.states.find(({ path }) => path === 'working');
    expect(working?.invokes).toEqual([{ id: 'job', src: 'run' }]);
  });

  it('tells every transition: events, guards, delays, ends of invokes, and those that stay', () => {
    expect(
      graph.transitions.map((one) => `${one.source}: ${transitionLabel(one)} -> ${one.target ?? 'stays'}`),
    ).toEqual([
      ': RESET -> waiting',
      'waiting: GO [ready and not told] -> working',
      'waiting: GO -> both',
      'waiting: TICK -> stays',
      'waiting: after 500 ms -> over',
      'waiting: after patience -> working',
      'waiting: [told] -> over',
      'working: finished -> over',
      'working: done -> both',
      'working: fails -> working.second',
      'working.first: NEXT -> working.second',
      'both: GO -> over',
      'both.right.on: FLIP -> both.right.off',
    ]);
  });

  it.each(Object.entries(machines))(
    'projects the %s chart with ids of its own and no dangling end',
    (name, machine) => {
      const real = projectMachine(name, machine);
      const paths = new Set(real.states.map(({ path }) => path));
      const ids = real.transitions.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      for (const { source, target } of real.transitions) {
        expect(paths).toContain(source);
        if (target !== null) expect(paths).toContain(target);
      }
      expect(JSON.parse(JSON.stringify(real))).toEqual(real);
      expect(real.transitions.map(transitionLabel).filter((label) => /xstate|\bguard\b/.test(label))).toEqual(
        [],
      );
    },
  );
});

describe('pathsOfValue', () => {
  it.each([
    ['a flat state', 'idle', ['idle']],
    ['a nested state', { promoting: 'opening' }, ['promoting', 'promoting.opening']],
    [
      'parallel regions',
      { primary: { peer: 'complete', io: 'serving' } },
      ['primary', 'primary.peer', 'primary.peer.complete', 'primary.io', 'primary.io.serving'],
    ],
    ['an empty region', { both: { left: {} } }, ['both', 'both.left']],
    ['something else', 7, []],
    ['nothing', null, []],
  ])('gives the paths of %s', (_, value, paths) => {
    expect(pathsOfValue(value)).toEqual(paths);
  });
});
