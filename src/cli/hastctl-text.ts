/** What hastctl prints, to the byte. @see protocols: hast section 9 */
import pc from 'picocolors';
import { humanize } from './sizes.ts';
import type { NodeStatus, ResourceStatus } from '../protocol/control.ts';
import type { HastMetadata } from '../protocol/hast-metadata.ts';

/** A resource as it was asked for: null where the daemon has none of that name. */
export interface Selected {
  readonly name: string;
  readonly resource: ResourceStatus | null;
}

/** The resources of these names in this order; all for none or `all`. */
export function select(status: NodeStatus, names: readonly string[]): Selected[] {
  if (names.length === 0 || names[0] === 'all') {
    return status.resources.map((resource) => ({ name: resource.name, resource }));
  }
  return names.map((name) => ({
    name,
    resource: status.resources.find((resource) => resource.name === name) ?? null,
  }));
}

const HEADER = 'Name\tStatus\t Role\t\tComponents\n';

/** hastctl's `status`. */
export function statusText(selected: readonly Selected[], terminal: boolean): string {
  if (selected.length === 0) return '';
  const colors = pc.createColors(terminal);
  const paint = { complete: colors.green, degraded: colors.yellow, '-': colors.dim };
  const lines = selected.map(({ name, resource }) => {
    if (resource === null) return `${name}\t${colors.red('ERR1')}\n`;
    const status = paint[resource.status](resource.status.padEnd(9));
    const role = resource.role.padEnd(15);
    return `${name}\t${status}${role}${resource.localpath}\t${resource.remoteaddr}\n`;
  });
  return HEADER + lines.join('');
}

/** hastctl's `list`. What only a connected or primary engine has is 0 elsewhere. */
export function listText(selected: readonly Selected[], pid: number): string {
  return selected.map(({ name, resource }) => oneResource(name, resource, pid)).join('');
}

function oneResource(name: string, resource: ResourceStatus | null, pid: number): string {
  if (resource === null) return `${name}:\n  error: 1\n`;
  const working = resource.status !== '-';
  const extentsize = working ? resource.extentsize : 0;
  const dirty = working ? resource.dirtyBytes : 0;
  const { counters } = resource;
  return [
    `${name}:`,
    `  role: ${resource.role}`,
    `  provname: ${resource.provname}`,
    `  localpath: ${resource.localpath}`,
    `  extentsize: ${extentsize} (${humanize(extentsize)})`,
    `  keepdirty: ${working ? resource.keepdirty : 0}`,
    `  remoteaddr: ${resource.remoteaddr}`,
    ...(resource.sourceaddr === null ? [] : [`  sourceaddr: ${resource.sourceaddr}`]),
    `  replication: ${resource.replication}`,
    ...(working ? [`  status: ${resource.status}`, `  workerpid: ${pid}`] : []),
    `  dirty: ${dirty} (${humanize(dirty)})`,
    '  statistics:',
    `    reads: ${counters.reads}`,
    `    writes: ${counters.writes}`,
    `    deletes: ${counters.deletes}`,
    `    flushes: ${counters.flushes}`,
    `    activemap updates: ${counters.activemapUpdates}`,
    `    local errors: read: ${counters.readErrors}, write: ${counters.writeErrors}, delete: ${counters.deleteErrors}, flush: ${counters.flushErrors}`,
    // Our engine has no such queues; whoever parses hastctl's output finds the line.
    '    queues: local: 0, send: 0, recv: 0, done: 0, idle: 0',
    '',
  ].join('\n');
}

/** hastctl's `dump`. */
export function dumpText(meta: HastMetadata): string {
  return [
    `resource: ${meta.resource}`,
    `    datasize: ${meta.datasize} (${humanize(meta.datasize)})`,
    `    extentsize: ${meta.extentsize} (${humanize(meta.extentsize)})`,
    `    keepdirty: ${meta.keepdirty}`,
    `    localoff: ${meta.offset}`,
    `    resuid: ${meta.resuid}`,
    `    localcnt: ${meta.localcnt}`,
    `    remotecnt: ${meta.remotecnt}`,
    `    prevrole: ${meta.prevrole}`,
    '',
  ].join('\n');
}
