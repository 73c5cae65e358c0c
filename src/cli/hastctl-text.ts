/** What hastctl prints, to the byte. @see protocols: hast section 9 */
import type pc from 'picocolors';
import { humanize } from './sizes.ts';
import type { HastMetadata } from '../protocol/hast-metadata.ts';
import type { HastctlRefusal, HastctlStatus } from '../protocol/hastctl.ts';

/** A resource as the daemon tells of it, or why it does not. */
export type Told = HastctlRefusal | HastctlStatus;

type Colors = ReturnType<typeof pc.createColors>;

const HEADER = 'Name\tStatus\t Role\t\tComponents';

/** hastctl's `status`. */
export function statusText(told: readonly Told[], colors: Colors): string {
  if (told.length === 0) return '';
  const lines = told.map((one) => {
    if ('error' in one) return `${one.name}\t${colors.red(`ERR${one.error}`)}\n`;
    const status = paintStatus(one, colors)((one.worker?.status ?? '-').padEnd(9));
    return `${one.name}\t${status}${one.role.padEnd(15)}${one.localpath}\t${one.remoteaddr}\n`;
  });
  return `${colors.bold(HEADER)}\n${lines.join('')}`;
}

function paintStatus({ worker }: HastctlStatus, colors: Colors): (text: string) => string {
  if (worker === null) return colors.dim;
  return worker.status === 'complete' ? colors.green : colors.yellow;
}

/** hastctl's `list`. */
export function listText(told: readonly Told[], colors: Colors): string {
  return told.map((one) => oneResource(one, colors)).join('');
}

const NOTHING = {
  ...{ status: null, dirty: 0, extentsize: 0, keepdirty: 0 },
  statistics: {
    ...{ read: 0, write: 0, delete: 0, flush: 0, activemapUpdate: 0 },
    ...{ readError: 0, writeError: 0, deleteError: 0, flushError: 0 },
  },
  queues: { idle: 0, local: 0, send: 0, recv: 0, done: 0 },
} as const;

function oneResource(one: Told, colors: Colors): string {
  const heading = colors.bold(`${one.name}:`);
  if ('error' in one) return `${heading}\n  ${colors.red(`error: ${one.error}`)}\n`;
  const worker = one.worker ?? NOTHING;
  const { statistics: count, queues, status } = worker;
  const failed = count.readError + count.writeError + count.deleteError + count.flushError > 0;
  const errors = failed ? colors.red : String;
  return [
    heading,
    `  role: ${one.role}`,
    `  provname: ${one.provname}`,
    `  localpath: ${one.localpath}`,
    `  extentsize: ${worker.extentsize} (${humanize(worker.extentsize)})`,
    `  keepdirty: ${worker.keepdirty}`,
    `  remoteaddr: ${one.remoteaddr}`,
    ...(one.sourceaddr === null ? [] : [`  sourceaddr: ${one.sourceaddr}`]),
    `  replication: ${one.replication}`,
    ...(status === null ? [] : [`  status: ${paintStatus(one, colors)(status)}`]),
    ...(one.workerpid === 0 ? [] : [`  workerpid: ${one.workerpid}`]),
    `  dirty: ${worker.dirty} (${humanize(worker.dirty)})`,
    '  statistics:',
    `    reads: ${count.read}`,
    `    writes: ${count.write}`,
    `    deletes: ${count.delete}`,
    `    flushes: ${count.flush}`,
    `    activemap updates: ${count.activemapUpdate}`,
    `    local errors: ${errors(`read: ${count.readError}, write: ${count.writeError}, delete: ${count.deleteError}, flush: ${count.flushError}`)}`,
    `    queues: local: ${queues.local}, send: ${queues.send}, recv: ${queues.recv}, done: ${queues.done}, idle: ${queues.idle}`,
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
