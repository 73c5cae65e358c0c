/**
 * Gives every state and transition a place. Runs while the package is built; what it finds
 * is served as a file, so the daemon carries no layout engine.
 */
import { createRequire } from 'node:module';

import type { ELK, ElkExtendedEdge, ElkNode } from 'elkjs/lib/elk-api.js';

import type { Box, ChartGraph, ChartLayout, ChartState, LaidOutEdge, ListedExit, Point } from './graph.ts';
import { invokeLines, LABEL_CHAR, LABEL_LINE, STATE_LINE, STATE_TITLE } from './graph.ts';
import type { Way } from './ways.ts';
import { sortWays } from './ways.ts';

const TITLE_CHAR = 7.7;

/**
 * Places one chart: nested boxes, orthogonal lines, labels that cover nothing.
 * @returns px from the top left corner; the same graph always gives the same layout
 */
export async function layoutChart(graph: ChartGraph): Promise<ChartLayout> {
  const { drawn, listed } = sortWays(graph);
  const input: ElkNode = {
    id: 'page',
    layoutOptions: LAYOUT_OPTIONS,
    children: childrenOf(graph, '').map((state) => elkNode(graph, state, listed)),
    edges: [...drawn.map(elkEdge), ...placingEdges(graph, drawn, listed)],
  };
  const root = await newElk().layout(input);
  const boxes = new Map<string, Box>();
  collectBoxes(root, { x: 0, y: 0 }, boxes);
  const edges = new Map((root.edges ?? []).map((edge) => [edge.id, edge]));
  return {
    graph,
    width: Math.ceil(root.width ?? 0),
    height: Math.ceil(root.height ?? 0),
    boxes: Object.fromEntries(boxes),
    edges: drawn.map((way) => placeEdge(way, edges.get(way.id))),
    exits: listed,
  };
}

const LAYOUT_OPTIONS = {
  'elk.algorithm': 'layered',
  'elk.direction': 'DOWN',
  'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
  'elk.edgeRouting': 'ORTHOGONAL',
  'elk.json.edgeCoords': 'ROOT',
  'elk.randomSeed': '1',
  'elk.padding': '[top=4,left=4,bottom=4,right=4]',
  'elk.spacing.edgeNode': '10',
  'elk.spacing.edgeEdge': '10',
  'elk.spacing.edgeLabel': '3',
  'elk.spacing.nodeNode': '16',
  'elk.layered.spacing.nodeNodeBetweenLayers': '12',
  'elk.layered.spacing.edgeNodeBetweenLayers': '9',
  'elk.layered.spacing.edgeEdgeBetweenLayers': '8',
  'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
  'elk.layered.cycleBreaking.strategy': 'DEPTH_FIRST',
  'elk.layered.nodePlacement.strategy': 'BRANDES_KOEPF',
  'elk.layered.thoroughness': '10',
};

function childrenOf(graph: ChartGraph, path: string): readonly ChartState[] {
  return graph.states.filter(({ parent }) => parent === path);
}

function elkNode(graph: ChartGraph, state: ChartState, listed: readonly ListedExit[]): ElkNode {
  const children = childrenOf(graph, state.path);
  const lines = [
    ...invokeLines(state),
    ...listed.filter(({ source }) => source === state.path).map(({ text }) => text),
  ];
  const width = Math.ceil(
    Math.max(
      70,
      state.key.length * TITLE_CHAR + (state.initial ? 38 : 26),
      ...lines.map((line) => line.length * LABEL_CHAR + 20),
    ),
  );
  const height = STATE_TITLE + (lines.length > 0 ? lines.length * STATE_LINE + 6 : 4);
  const place = placeOf(state);
  if (children.length === 0) return { id: state.path, width, height, layoutOptions: place };
  return {
    id: state.path,
    children: children.map((child) => elkNode(graph, child, listed)),
    layoutOptions: {
      ...place,
      'elk.padding': `[top=${height + 8},left=12,bottom=12,right=12]`,
      'elk.nodeSize.constraints': 'MINIMUM_SIZE',
      'elk.nodeSize.minimum': `(${width},${height + 30})`,
    },
  };
}

/** Reading starts at the top: first states above, final ones below. */
function placeOf({ initial, kind }: ChartState): Record<string, string> {
  if (kind === 'final') return { 'elk.layered.layering.layerConstraint': 'LAST' };
  return initial ? { 'elk.layered.layering.layerConstraint': 'FIRST' } : {};
}

function elkEdge(way: Way): ElkExtendedEdge {
  const width = Math.ceil(Math.max(...way.labels.map((label) => label.length)) * LABEL_CHAR) + 6;
  return {
    id: way.id,
    sources: [way.source],
    targets: [way.target],
    labels:
      way.labels.length === 0
        ? []
        : [
            {
              id: `${way.id}#label`,
              text: way.labels.join('\n'),
              width,
              height: way.labels.length * LABEL_LINE,
            },
          ],
  };
}

/**
 * Edges that are not drawn: they put regions of a parallel state below each other, and a state
 * without any line below the sibling whose written way leads to it.
 */
function placingEdges(
  graph: ChartGraph,
  drawn: readonly Way[],
  listed: readonly ListedExit[],
): readonly ElkExtendedEdge[] {
  const stacked = graph.states
    .filter(({ kind }) => kind === 'parallel')
    .flatMap(({ path }) => childrenOf(graph, path))
    .flatMap((region, index, regions) => {
      const above = regions[index - 1];
      return above?.parent === region.parent ? [placingEdge(above.path, region.path)] : [];
    });
  const lonely = graph.states
    .filter(({ path }) => !drawn.some(({ source, target }) => source === path || target === path))
    .flatMap(({ path, parent, kind }) => {
      const siblings = childrenOf(graph, parent ?? '').map((sibling) => sibling.path);
      const way = listed.find(({ source, target }) => {
        return target === path && source !== path && siblings.includes(source);
      });
      return way === undefined || kind === 'final' ? [] : [placingEdge(way.source, path)];
    });
  return [...stacked, ...lonely];
}

function placingEdge(above: string, below: string): ElkExtendedEdge {
  return { id: `${above}>${below}#place`, sources: [above], targets: [below] };
}

function collectBoxes(parent: ElkNode, origin: Point, boxes: Map<string, Box>): void {
  for (const node of parent.children ?? []) {
    const box = { ...shift(node, origin), width: node.width ?? 0, height: node.height ?? 0 };
    boxes.set(node.id, box);
    collectBoxes(node, box, boxes);
  }
}

function shift(at: { readonly x?: number; readonly y?: number }, origin: Point): Point {
  return { x: (at.x ?? 0) + origin.x, y: (at.y ?? 0) + origin.y };
}

function placeEdge(way: Way, placed: ElkExtendedEdge | undefined): LaidOutEdge {
  const section = placed?.sections?.[0];
  const label = placed?.labels?.[0];
  return {
    ...way,
    points:
      section === undefined ? [] : [section.startPoint, ...(section.bendPoints ?? []), section.endPoint],
    labelBox: {
      x: label?.x ?? 0,
      y: label?.y ?? 0,
      width: label?.width ?? 0,
      height: label?.height ?? 0,
    },
  };
}

/** elkjs is CommonJS whose types and module do not agree about the default export. */
function newElk(): ELK {
  const require = createRequire(import.meta.url);
  const Elk = require('elkjs') as new () => ELK;
  return new Elk();
}
