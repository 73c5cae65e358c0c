import { describe, expect, it } from 'vitest';

import { machines } from '../../../machines/index.ts';
import { resourceMachine } from '../../../machines/resource.ts';
import type { Box, ChartLayout } from '../../../src/visualizer/graph.ts';
import { layoutChart } from '../../../src/visualizer/layout.ts';
import { projectMachine } from '../../../src/visualizer/project.ts';
import { smallMachine } from './small-machine.ts';

const all: [string, (typeof machines)[string] | typeof smallMachine][] = [
  ['small', smallMachine],
  ...Object.entries(machines),
];

function boxOf(layout: ChartLayout, path: string): Box {
  const box = layout.boxes[path];
  if (box === undefined) throw new Error(`no box for ${path}`);
  return box;
}

const inside = (inner: Box, outer: Box): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height;

const apart = (a: Box, b: Box): boolean =>
  a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;

describe.each(all)('layout of the %s chart', (name, machine) => {
  const graph = projectMachine(name, machine);

  it('puts every state inside its parent and apart from its siblings', async () => {
    const layout = await layoutChart(graph);
    const page = { x: 0, y: 0, width: layout.width, height: layout.height };
    for (const { path, parent } of graph.states) {
      if (parent === null) continue;
      const box = boxOf(layout, path);
      expect(inside(box, parent === '' ? page : boxOf(layout, parent)), path).toBe(true);
      for (const sibling of graph.states) {
        if (sibling.parent !== parent || sibling.path === path) continue;
        expect(apart(box, boxOf(layout, sibling.path)), `${path} and ${sibling.path}`).toBe(true);
      }
    }
  });

  it('draws or writes every transition with a target exactly once', async () => {
    const layout = await layoutChart(graph);
    const shown = [...layout.edges, ...layout.exits].flatMap(({ transitions }) => transitions);
    const wanted = graph.transitions.filter(({ target }) => target !== null).map(({ id }) => id);
    expect([...shown].sort()).toEqual([...wanted].sort());
  });

  it('gives every line at least two points that run straight across or down', async () => {
    const { edges } = await layoutChart(graph);
    for (const { id, points } of edges) {
      expect(points.length, id).toBeGreaterThanOrEqual(2);
      points.slice(1).forEach((point, index) => {
        const before = points[index];
        const moved = [Math.abs(point.x - (before?.x ?? 0)), Math.abs(point.y - (before?.y ?? 0))];
        expect(Math.min(...moved), id).toBeLessThan(0.01);
      });
    }
  });
});

describe('layoutChart', () => {
  it('gives the same layout for the same graph', async () => {
    const graph = projectMachine('small', smallMachine);
    expect(await layoutChart(graph)).toEqual(await layoutChart(graph));
  });

  it('writes failures and ways to the end into the state instead of drawing them', async () => {
    const { exits, edges } = await layoutChart(projectMachine('small', smallMachine));
    expect(exits.map(({ text }) => text)).toEqual([
      'RESET → waiting',
      'after 500 ms, [told] → over',
      'finished → over',
      'fails → second',
      'GO → over',
    ]);
    expect(edges.map(({ id }) => id)).toContain('waiting>working');
  });

  it('draws of many ways into one state the nearest, and writes the ways back of a busy chart', async () => {
    const { exits, edges } = await layoutChart(projectMachine('resource', resourceMachine));
    const into = (target: string): string[] =>
      edges.filter((edge) => edge.target === target).map(({ id }) => id);
    expect(into('releasing')).toEqual(['primary>releasing']);
    expect(into('init')).toEqual(['opening>init']);
    expect(exits.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['init>releasing', 'secondary>releasing', 'releasing>init']),
    );
  });
});
