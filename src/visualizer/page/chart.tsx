/** One statechart as a drawing: where it is now stands out, and how it came there. */
import { useLayoutEffect, useRef } from 'preact/hooks';

import type { Box, ChartLayout, ChartState, LaidOutEdge, ListedExit, Point } from '../graph.ts';
import { invokeLines, LABEL_LINE, STATE_LINE, STATE_TITLE, transitionLabel } from '../graph.ts';

interface Props {
  readonly layout: ChartLayout;
  /** Paths of the states that it is in. */
  readonly present: readonly string[];
  /** Ids of the transitions that were taken last. */
  readonly taken: readonly string[];
  /** All of it, however small; else large enough to read, with the present state in the middle. */
  readonly whole: boolean;
  readonly label: string;
}

const PAD = 10;
/** Never smaller than this, where the words can still be read. */
const READABLE = 0.72;

export function ChartView({ layout, present, taken, whole, label }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const key = present.join(' ');
  useLayoutEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    // Also tells the size that it has at first, and when another node's pane takes half of it.
    const sizes = new ResizeObserver(() => showPresent(element, layout, present));
    sizes.observe(element);
    return () => sizes.disconnect();
  }, [key, whole, layout]);
  return (
    <div class="drawing">
      <div
        class={whole ? 'frame whole' : 'frame'}
        ref={frame}
        tabIndex={0}
        role="group"
        aria-label="Drawing, scrolls"
      >
        <svg
          role="img"
          aria-label={label}
          viewBox={viewBoxOf(layout)}
          style={whole ? {} : { width: readableWidth(layout) }}
        >
          <defs>
            <Arrow id="arrow" kind="arrow" />
            <Arrow id="arrow-taken" kind="arrow taken" />
          </defs>
          {layout.graph.states.map((state) => {
            const box = layout.boxes[state.path];
            return box === undefined ? null : (
              <StateBox
                key={state.path}
                state={state}
                box={box}
                present={present}
                exits={layout.exits.filter(({ source }) => source === state.path)}
                taken={taken}
                hint={hintOf(layout, state)}
              />
            );
          })}
          {layout.edges.map((edge) => (
            <Edge key={edge.id} edge={edge} taken={edge.transitions.some((id) => taken.includes(id))} />
          ))}
        </svg>
      </div>
      {!whole && <OverviewMap layout={layout} present={present} />}
    </div>
  );
}

/** CSS width with which the widest of the outermost states fills the frame. */
function readableWidth({ graph, boxes, width }: ChartLayout): string {
  const outer = graph.states.filter(({ parent }) => parent === '').map(({ path }) => boxes[path]?.width ?? 0);
  const full = width + 2 * PAD;
  const widest = Math.max(...outer, 1) + 2 * PAD;
  return `clamp(${full * READABLE}px, ${((100 * full) / widest).toFixed(1)}%, ${full}px)`;
}

function viewBoxOf({ width, height }: ChartLayout): string {
  return `${-PAD} ${-PAD} ${width + 2 * PAD} ${height + 2 * PAD}`;
}

/** Where in the whole chart the present states are, when only a part of it can be seen. */
function OverviewMap({ layout, present }: Pick<Props, 'layout' | 'present'>) {
  return (
    <svg class="map" viewBox={viewBoxOf(layout)} aria-hidden="true">
      {layout.graph.states.map((state) => {
        const box = layout.boxes[state.path];
        return box === undefined ? null : (
          <g key={state.path} class={classesOf(state, present)}>
            <rect {...box} rx="7" />
          </g>
        );
      })}
    </svg>
  );
}

function classesOf(state: ChartState, present: readonly string[]): string {
  const here = present.includes(state.path);
  const leaf = here && !present.some((path) => path.startsWith(`${state.path}.`));
  return ['state', state.kind, leaf ? 'present leaf' : here ? 'present' : ''].filter(Boolean).join(' ');
}

function Arrow({ id, kind }: { readonly id: string; readonly kind: string }) {
  return (
    <marker
      id={id}
      class={kind}
      viewBox="0 0 8 8"
      refX="7"
      refY="4"
      markerWidth="8"
      markerHeight="8"
      markerUnits="userSpaceOnUse"
      orient="auto"
    >
      <path d="M0 0.8 L7.4 4 L0 7.2 Z" />
    </marker>
  );
}

interface StateProps {
  readonly state: ChartState;
  readonly box: Box;
  readonly present: readonly string[];
  readonly exits: readonly ListedExit[];
  readonly taken: readonly string[];
  readonly hint: string;
}

function StateBox({ state, box, present, exits, taken, hint }: StateProps) {
  const invokes = invokeLines(state);
  const lineY = (index: number): number => STATE_TITLE + 10 + index * STATE_LINE;
  return (
    <g class={classesOf(state, present)} transform={`translate(${box.x} ${box.y})`} data-state={state.path}>
      <title>{hint}</title>
      <rect width={box.width} height={box.height} rx="7" />
      {state.kind === 'final' && (
        <rect class="inner" x="3" y="3" width={box.width - 6} height={box.height - 6} rx="5" />
      )}
      {state.initial && <circle class="initial" cx="13" cy="13" r="3.5" />}
      <text class="name" x={state.initial ? 22 : 10} y="17">
        {state.key}
      </text>
      {invokes.map((line, index) => (
        <text class="runs" key={line} x="10" y={lineY(index)}>
          {line}
        </text>
      ))}
      {exits.map((exit, index) => (
        <text
          class={exit.transitions.some((id) => taken.includes(id)) ? 'exit taken' : 'exit'}
          key={exit.id}
          x="10"
          y={lineY(invokes.length + index)}
        >
          {exit.text}
        </text>
      ))}
    </g>
  );
}

function Edge({ edge, taken }: { readonly edge: LaidOutEdge; readonly taken: boolean }) {
  const { labelBox } = edge;
  return (
    <g class={taken ? 'edge taken' : 'edge'} data-edge={edge.id}>
      <path d={roundedPath(edge.points)} marker-end={taken ? 'url(#arrow-taken)' : 'url(#arrow)'} />
      {edge.labels.map((text, index) => (
        <text key={text} x={labelBox.x + 3} y={labelBox.y + 10 + index * LABEL_LINE}>
          {text}
        </text>
      ))}
    </g>
  );
}

/** An orthogonal line with soft corners. */
function roundedPath(points: readonly Point[]): string {
  return points
    .map((point, index) => {
      const before = points[index - 1];
      const after = points[index + 1];
      if (before === undefined) return `M${point.x} ${point.y}`;
      if (after === undefined) return `L${point.x} ${point.y}`;
      const start = towards(point, before);
      const end = towards(point, after);
      return `L${start.x} ${start.y} Q${point.x} ${point.y} ${end.x} ${end.y}`;
    })
    .join(' ');
}

const CORNER = 5;

function towards(from: Point, to: Point): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  const share = length === 0 ? 0 : Math.min(CORNER, length / 2) / length;
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
}

/** All that there is to know of a state, for the pointer that rests on it. */
function hintOf({ graph }: ChartLayout, state: ChartState): string {
  const stays = graph.transitions.filter(({ source, target }) => source === state.path && target === null);
  return [
    state.path,
    state.description,
    state.entry.length > 0 ? `on entry: ${state.entry.join(', ')}` : null,
    state.exit.length > 0 ? `on exit: ${state.exit.join(', ')}` : null,
    ...stays.map(
      (transition) => `${transitionLabel(transition)}: ${transition.actions.join(', ') || 'nothing'}`,
    ),
  ]
    .filter((line) => line !== null && line !== '')
    .join('\n');
}

/** Brings the outermost present state that can be seen as a whole into view; the page itself stays. */
function showPresent(frame: HTMLElement, layout: ChartLayout, present: readonly string[]): void {
  const svg = frame.querySelector('svg');
  if (svg === null) return;
  const scale = svg.getBoundingClientRect().width / (layout.width + 2 * PAD);
  const boxes = present.flatMap((path) => layout.boxes[path] ?? []);
  const fits = ({ width, height }: Box): boolean =>
    width * scale <= frame.clientWidth && height * scale <= frame.clientHeight;
  const box = boxes.find(fits) ?? boxes.at(-1);
  if (box === undefined) return;
  frame.scrollTo({
    left: (box.x + PAD + box.width / 2) * scale - frame.clientWidth / 2,
    top: (box.y + PAD + box.height / 2) * scale - frame.clientHeight / 2,
    behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth',
  });
}
