import type { ResourceStatus, SyncProgress } from '../../protocol/control.ts';
import { formatBytes, formatDuration, progressOf } from './format.ts';

export function ResourceTable({ resources }: { readonly resources: readonly ResourceStatus[] }) {
  return (
    <table class="resources">
      <thead class="hidden">
        <tr>
          <th>resource</th>
          <th>role</th>
          <th>status</th>
          <th>dirty</th>
          <th>resync</th>
        </tr>
      </thead>
      <tbody>
        {resources.map((resource) => (
          <Row key={resource.name} resource={resource} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ resource }: { readonly resource: ResourceStatus }) {
  const { name, role, status, dirtyBytes, sync, held, error } = resource;
  const trouble = error ?? held;
  return (
    <tr data-resource={name}>
      <th scope="row" class="ellipsis" title={resource.localpath}>
        {name}
      </th>
      <td class={`word-${role}`}>{role}</td>
      <td class={status === 'degraded' ? 'warn' : status === 'complete' ? 'good' : 'quiet'}>
        {status === '-' ? '–' : status}
      </td>
      {trouble === null && sync !== null ? (
        <td colSpan={2}>
          <SyncBar sync={sync} name={name} dirtyBytes={dirtyBytes} />
        </td>
      ) : (
        <>
          <td class={dirtyBytes > 0 ? 'num' : 'num quiet'}>
            {dirtyBytes > 0 ? `${formatBytes(dirtyBytes)} dirty` : 'not dirty'}
          </td>
          <td class={trouble === null ? 'quiet' : 'bad ellipsis'} title={trouble ?? ''}>
            {trouble ?? resource.replication}
          </td>
        </>
      )}
    </tr>
  );
}

interface SyncProps {
  readonly sync: SyncProgress;
  readonly name: string;
  readonly dirtyBytes: number;
}

function SyncBar({ sync, name, dirtyBytes }: SyncProps) {
  const { share, remainingMs } = progressOf(sync);
  const percent = Math.floor(share * 100);
  const toPeer = sync.direction === 'toPeer';
  const copied = `${formatBytes(sync.doneBytes)} of ${formatBytes(sync.totalBytes)}`;
  const rest = remainingMs === null ? '' : ` · ${formatDuration(remainingMs)} left`;
  return (
    <span
      class="sync"
      title={`resync ${toPeer ? 'to' : 'from'} the peer: ${copied}; ${formatBytes(dirtyBytes)} dirty`}
    >
      <progress max={100} value={percent} aria-label={`Resync of ${name}`}>
        {percent} %
      </progress>
      <span class="num">
        {toPeer ? '→' : '←'} {percent} % · {copied}
        {rest}
      </span>
    </span>
  );
}
