/** One card for each group with both nodes side by side. */
import type { GroupStatus, NodeStatus, ResourceStatus } from '../../protocol/control.ts';
import { PATHS } from '../../model/roles.ts';
import type { PathName } from '../../model/roles.ts';
import { formatDuration } from './format.ts';
import { RoleBadge } from './header.tsx';
import { ResourceTable } from './resources.tsx';
import type { NodeView } from './store.ts';

const PATH_WORDS: Readonly<Record<PathName, string>> = {
  dataLink: 'data link',
  peerChannel: 'peer channel',
  adverts: 'adverts',
};

export function Groups({ nodes }: { readonly nodes: readonly NodeView[] }) {
  const names = [...new Set(nodes.flatMap(({ status }) => status?.groups.map(({ name }) => name) ?? []))];
  const loose = nodes.some(({ status }) => status !== null && looseResources(status).length > 0);
  return (
    <section class="groups" aria-label="Groups">
      {names.map((name) => (
        <section class="card" key={name} aria-label={`Group ${name}`} data-group={name}>
          <div class="pair">
            {nodes.map((node) => (
              <GroupOnNode key={node.name} name={name} node={node} />
            ))}
          </div>
        </section>
      ))}
      {loose && (
        <section class="card" aria-label="Resources outside any group">
          <div class="pair">
            {nodes.map((node) => (
              <div class={columnClass(node)} key={node.name}>
                <h2>
                  no group <span class="quiet">on {node.name}</span>
                </h2>
                <ResourceTable resources={node.status === null ? [] : looseResources(node.status)} />
                {names.length === 0 && <Heard status={node.status} />}
              </div>
            ))}
          </div>
        </section>
      )}
    </section>
  );
}

function columnClass({ unreachableSince }: NodeView): string {
  return unreachableSince === null ? 'column' : 'column stale';
}

function looseResources(status: NodeStatus): readonly ResourceStatus[] {
  const grouped = new Set(status.groups.flatMap(({ resources }) => resources));
  return status.resources.filter(({ name }) => !grouped.has(name));
}

function GroupOnNode({ name, node }: { readonly name: string; readonly node: NodeView }) {
  const { status } = node;
  const group = status?.groups.find((one) => one.name === name);
  if (status === null || group === undefined) {
    return (
      <div class={columnClass(node)} data-node={node.name}>
        <h2>
          {name} <span class="quiet">on {node.name}</span>
        </h2>
        <p class="quiet">Not known yet</p>
      </div>
    );
  }
  return (
    <div class={columnClass(node)} data-node={node.name}>
      <div class="line">
        <h2>
          {name} <span class="quiet">on {status.node}</span>
        </h2>
        <RoleBadge role={group.role} name={null} />
        {node.unreachableSince === null ? (
          <SafetyBadge text={group.badge} />
        ) : (
          <span class="safety">last known state</span>
        )}
      </div>
      <Address group={group} />
      <ResourceTable resources={status.resources.filter((one) => group.resources.includes(one.name))} />
      <Heard status={status} />
      {status.warnings.length > 0 && (
        <p class="warn ellipsis" title={status.warnings.join('\n')}>
          ⚠ {status.warnings[0]}
          {status.warnings.length > 1 ? ` (and ${status.warnings.length - 1} more)` : ''}
        </p>
      )}
    </div>
  );
}

function SafetyBadge({ text }: { readonly text: string }) {
  const kind = /\bsafe\b|may take over/.test(text)
    ? 'good'
    : /blocked|not possible/.test(text)
      ? 'bad'
      : 'warn';
  return (
    <span class={`safety ${kind} ellipsis`} title={text}>
      {text}
    </span>
  );
}

function Address({ group }: { readonly group: GroupStatus }) {
  const { address } = group;
  if (address === null) return <p class="facts quiet">no address · policy {group.policy}</p>;
  return (
    <p class="facts">
      <span class={address.up ? 'good' : 'quiet'}>{address.up ? '▲' : '▽'}</span>{' '}
      <span class="mono">{address.addresses.join(' ')}</span>{' '}
      <span class="quiet">
        {address.up ? 'up' : 'not here'} · {address.state} · vhid {address.vhid} · {address.transport} ·
        policy {group.policy}
      </span>
    </p>
  );
}

function Heard({ status }: { readonly status: NodeStatus | null }) {
  const peer = status?.peer ?? null;
  if (peer === null) return <p class="facts quiet">no peer is configured</p>;
  return (
    <p class="facts heard">
      <span class="quiet">heard {peer.name}</span>
      {PATHS.map((path) => {
        const ms = peer.heardMsAgo[path];
        return (
          <span key={path}>
            <span class="quiet">{PATH_WORDS[path]}</span>{' '}
            <span class={ms === null || ms > 1000 ? 'warn num' : 'num'}>
              {ms === null ? 'never' : formatDuration(ms)}
            </span>
          </span>
        );
      })}
    </p>
  );
}
