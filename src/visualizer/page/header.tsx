import type { GroupStatus } from '../../protocol/control.ts';
import { formatDuration, formatTime } from './format.ts';
import type { NodeView, PageState } from './store.ts';

export function Header({ state, now }: { readonly state: PageState; readonly now: number }) {
  const last = state.events.at(-1);
  return (
    <header class="top">
      <h1>hastate</h1>
      <ul class="nodes" aria-label="Nodes">
        {state.nodes.map((node) => (
          <NodeChip key={node.name} node={node} now={now} />
        ))}
      </ul>
      <p class="last" aria-label="Last event">
        {state.link === 'lost' ? (
          <strong class="bad">The server of this page does not answer: what you see is old</strong>
        ) : last === undefined ? (
          <span class="quiet">{state.link === 'connecting' ? 'Connecting' : 'Nothing happened yet'}</span>
        ) : (
          <>
            <time class="quiet" dateTime={last.event.time}>
              {formatTime(last.event.time)}
            </time>{' '}
            <span class={`level-${last.event.level}`} title={last.event.message}>
              {last.event.node}: {last.event.message}
            </span>
          </>
        )}
      </p>
    </header>
  );
}

function NodeChip({ node, now }: { readonly node: NodeView; readonly now: number }) {
  const { status, unreachableSince } = node;
  const gone = unreachableSince !== null;
  return (
    <li class={gone ? 'chip gone' : 'chip'} data-node={node.name}>
      <span class={gone ? 'dot bad' : 'dot good'} aria-hidden="true" />
      <strong>{status?.node ?? node.name}</strong>
      {status?.groups.map((group) => (
        <RoleBadge key={group.name} role={group.role} name={status.groups.length > 1 ? group.name : null} />
      ))}
      {gone ? (
        <span class="bad">
          {status === null ? 'never answered, ' : 'unreachable since '}
          {formatDuration(Math.max(0, now - unreachableSince))}
        </span>
      ) : (
        <span class="quiet">up {formatDuration(status?.uptimeMs ?? 0)}</span>
      )}
    </li>
  );
}

/** The role of a node for a group, by colour and by word. */
export function RoleBadge({
  role,
  name,
}: {
  readonly role: GroupStatus['role'];
  readonly name: string | null;
}) {
  return (
    <span class={`badge role-${role}`}>
      {name === null ? '' : `${name} `}
      {role}
    </span>
  );
}
