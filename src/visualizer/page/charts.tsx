/** The same chart of both nodes side by side, and what to choose it with. */
import { useState } from 'preact/hooks';

import type { ChartLayouts } from '../graph.ts';
import { pathsOfValue } from '../graph.ts';
import type { ChartSnapshot } from '../../protocol/control.ts';
import { ChartView } from './chart.tsx';
import { formatDuration } from './format.ts';
import { eventName, lastTransitions } from './last-transition.ts';
import type { NodeView } from './store.ts';
import { chartOf } from './store.ts';

const ORDER = ['group', 'resource', 'advertiser', 'link', 'hook-run', 'service', 'node'];

interface Props {
  readonly nodes: readonly NodeView[];
  readonly layouts: ChartLayouts;
  readonly now: number;
}

export function Charts({ nodes, layouts, now }: Props) {
  const [chosen, choose] = useState<string | null>(null);
  const [whole, setWhole] = useState(false);
  const ids = chartIds(nodes);
  const id = chosen !== null && ids.includes(chosen) ? chosen : (ids[0] ?? null);
  return (
    <section class="charts" aria-label="Statecharts">
      <div class="bar" role="toolbar" aria-label="Which chart">
        {ids.map((one) => (
          <button key={one} type="button" aria-pressed={one === id} onClick={() => choose(one)}>
            {one}
          </button>
        ))}
        <span class="spring" />
        <button type="button" aria-pressed={whole} onClick={() => setWhole(!whole)}>
          Whole chart
        </button>
      </div>
      <div class="pair panes">
        {nodes.map((node) => (
          <Pane key={node.name} node={node} id={id} layouts={layouts} now={now} whole={whole} />
        ))}
      </div>
    </section>
  );
}

/** Groups first: they are what moves. */
function chartIds(nodes: readonly NodeView[]): readonly string[] {
  const machineOf = new Map<string, string>();
  for (const { status } of nodes)
    for (const { id, machine } of status?.charts ?? []) machineOf.set(id, machine);
  const rank = (machine: string): number => (ORDER.includes(machine) ? ORDER.indexOf(machine) : ORDER.length);
  return [...machineOf]
    .sort(([a, ofA], [b, ofB]) => rank(ofA) - rank(ofB) || a.localeCompare(b))
    .map(([id]) => id);
}

interface PaneProps extends Omit<Props, 'nodes'> {
  readonly node: NodeView;
  readonly id: string | null;
  readonly whole: boolean;
}

function Pane({ node, id, layouts, now, whole }: PaneProps) {
  const name = node.status?.node ?? node.name;
  const chart = id === null ? null : chartOf(node, id);
  const layout = chart === null ? undefined : layouts[chart.machine];
  const present = chart === null ? [] : pathsOfValue(chart.value);
  return (
    <section
      class={node.unreachableSince === null ? 'pane' : 'pane stale'}
      aria-label={`${id ?? 'Chart'} on ${name}`}
      data-node={node.name}
    >
      <p class="caption ellipsis">
        <strong>{name}</strong>
        {chart === null ? (
          <span class="quiet">{id === null ? 'no chart runs' : `has no ${id}`}</span>
        ) : (
          <Caption node={node} chart={chart} present={present} now={now} />
        )}
      </p>
      {chart !== null && layout === undefined && (
        <p class="quiet room">No drawing of ‘{chart.machine}’ was built</p>
      )}
      {chart !== null && layout !== undefined && (
        <ChartView
          layout={layout}
          present={present}
          taken={lastTransitions(layout.graph, node.before[chart.id] ?? null, chart.value, chart.lastEvent)}
          whole={whole}
          label={`${chart.id} on ${name}: ${present.join(', ')}`}
        />
      )}
    </section>
  );
}

interface CaptionProps {
  readonly node: NodeView;
  readonly chart: ChartSnapshot;
  readonly present: readonly string[];
  readonly now: number;
}

function Caption({ node, chart, present, now }: CaptionProps) {
  const leaves = present.filter((path) => !present.some((other) => other.startsWith(`${path}.`)));
  // Time stands still for a node that does not answer: nobody knows what it does now.
  const since = chart.sinceMs + (node.unreachableSince === null ? Math.max(0, now - node.receivedAt) : 0);
  return (
    <>
      <span class="state">{leaves.map((path) => path.replaceAll('.', ' › ')).join('  +  ')}</span>
      <span class="quiet">
        for {formatDuration(since >= 1000 ? since : Math.floor(since / 100) * 100)}
        {chart.lastEvent === null ? '' : ` · by ${eventName(chart.lastEvent)}`}
      </span>
    </>
  );
}
