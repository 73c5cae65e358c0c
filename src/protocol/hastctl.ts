/**
 * What hastctl and hastd say on the control socket: frames of version 2 without data.
 * Enough to answer the stock hastctl's `role`, `status` and `list`.
 * @see hast.md section 9
 */
import { WireError } from '../model/errors.ts';
import type { ChecksumKind, CompressionKind, HastRole, ReplicationMode } from '../model/roles.ts';
import { encodeFrame, HAST_VERSION } from './hast-frame.ts';
import type { NvField, NvMap } from './nv.ts';

export const HASTCTL_CMD = { SETROLE: 1, STATUS: 2 } as const;
/** Error numbers of hastd; others are FreeBSD errnos. */
export const HASTCTL_ERROR = { NO_ENTRY: 1, INVALID: 2, UNIMPLEMENTED: 4 } as const;

const ROLE_NUMBERS: Readonly<Record<HastRole, number>> = { init: 1, primary: 2, secondary: 3 };
const INTRODUCTION = 'hastate';
const MAX_RESOURCES = 4096;

export interface HastctlRequest {
  /** Not checked: an unknown one is answered with UNIMPLEMENTED. */
  readonly cmd: number;
  /** Only of SETROLE; null when absent or unknown, which is answered with INVALID. */
  readonly role: HastRole | null;
  /** As asked for: a first `all` means every one. Empty is answered with INVALID. */
  readonly resources: readonly string[];
  /** Our own command line asks who answers. hastd looks fields up by name and does not see this one. */
  readonly introduces?: boolean;
}

export interface HastctlStatistics {
  readonly read: number;
  readonly write: number;
  readonly delete: number;
  readonly flush: number;
  readonly activemapUpdate: number;
  readonly readError: number;
  readonly writeError: number;
  readonly deleteError: number;
  readonly flushError: number;
}

export interface HastctlQueues {
  readonly idle: number;
  readonly local: number;
  readonly send: number;
  readonly recv: number;
  readonly done: number;
}

export interface HastctlStatus {
  readonly name: string;
  readonly provname: string;
  readonly localpath: string;
  readonly remoteaddr: string;
  readonly sourceaddr: string | null;
  readonly replication: ReplicationMode;
  readonly checksum: ChecksumKind;
  readonly compression: CompressionKind;
  readonly role: HastRole;
  readonly workerpid: number;
  /** Null when no engine runs for the resource. Sizes in bytes. */
  readonly worker: {
    readonly status: 'complete' | 'degraded';
    readonly dirty: number;
    readonly extentsize: number;
    readonly keepdirty: number;
    readonly statistics: HastctlStatistics;
    readonly queues: HastctlQueues;
  } | null;
}

/** A resource that cannot be answered for; `error` of HASTCTL_ERROR or a FreeBSD errno. */
export interface HastctlRefusal {
  readonly name: string;
  readonly error: number;
}

export type HastctlReply =
  /** The whole request failed. */
  | { readonly kind: 'error'; readonly error: number }
  /** A hastated answers a request that introduces: ask it in its own protocol. */
  | { readonly kind: 'hastate'; readonly version: string }
  | {
      readonly kind: 'setrole';
      readonly resources: readonly (
        HastctlRefusal | { readonly name: string; readonly previousRole: HastRole }
      )[];
    }
  | { readonly kind: 'status'; readonly resources: readonly (HastctlRefusal | HastctlStatus)[] };

export function encodeHastctlRequest(request: HastctlRequest): Buffer {
  const fields: NvField[] = [{ name: 'cmd', type: 'uint8', value: request.cmd }];
  if (request.role !== null) fields.push({ name: 'role', type: 'uint8', value: ROLE_NUMBERS[request.role] });
  request.resources.forEach((value, i) => fields.push({ name: `resource${i}`, type: 'string', value }));
  if (request.introduces === true) fields.push({ name: INTRODUCTION, type: 'uint8', value: 1 });
  return Buffer.concat(encodeFrame(HAST_VERSION, fields));
}

/** @throws WireError `nv-type` for a field of a wrong type, `hastctl-cmd` when there is none */
export function decodeHastctlRequest(nv: NvMap): HastctlRequest {
  const cmd = nv.number('cmd', 'uint8');
  if (cmd === undefined) throw new WireError('hastctl-cmd', 0, 'cmd', 'a control request has no command');
  const number = nv.number('role', 'uint8');
  const resources: string[] = [];
  for (let i = 0; i < MAX_RESOURCES; i++) {
    const name = nv.string(`resource${i}`);
    if (name === undefined) break;
    resources.push(name);
  }
  const role = ROLES.find((one) => ROLE_NUMBERS[one] === number) ?? null;
  return { cmd, role, resources, ...(nv.has(INTRODUCTION) ? { introduces: true } : {}) };
}

export function encodeHastctlReply(reply: HastctlReply): Buffer {
  const fields: NvField[] = [];
  if (reply.kind === 'error') {
    fields.push({ name: 'error', type: 'int16', value: reply.error });
  } else if (reply.kind === 'hastate') {
    fields.push({ name: INTRODUCTION, type: 'string', value: reply.version });
  } else if (reply.kind === 'setrole') {
    reply.resources.forEach((resource, i) => {
      fields.push({ name: `resource${i}`, type: 'string', value: resource.name });
      fields.push(
        'error' in resource
          ? { name: `error${i}`, type: 'int16', value: resource.error }
          : { name: `role${i}`, type: 'string', value: resource.previousRole },
      );
    });
  } else {
    reply.resources.forEach((resource, i) => fields.push(...statusFields(resource, i)));
  }
  return Buffer.concat(encodeFrame(HAST_VERSION, fields));
}

/** Which statistic stands in which field, in hastd's order. */
const STATISTICS: readonly (readonly [string, keyof HastctlStatistics])[] = [
  ['stat_read', 'read'],
  ['stat_write', 'write'],
  ['stat_delete', 'delete'],
  ['stat_flush', 'flush'],
  ['stat_activemap_update', 'activemapUpdate'],
  ['stat_read_error', 'readError'],
  ['stat_write_error', 'writeError'],
  ['stat_delete_error', 'deleteError'],
  ['stat_flush_error', 'flushError'],
];
const QUEUES: readonly (readonly [string, keyof HastctlQueues])[] = [
  ['idle_queue_size', 'idle'],
  ['local_queue_size', 'local'],
  ['send_queue_size', 'send'],
  ['recv_queue_size', 'recv'],
  ['done_queue_size', 'done'],
];

function statusFields(resource: HastctlRefusal | HastctlStatus, i: number): NvField[] {
  const text = (name: string, value: string): NvField => ({ name: `${name}${i}`, type: 'string', value });
  const u64 = (name: string, value: number): NvField => ({ name: `${name}${i}`, type: 'uint64', value });
  const u32 = (name: string, value: number): NvField => ({ name: `${name}${i}`, type: 'uint32', value });
  if ('error' in resource) {
    return [text('resource', resource.name), { name: `error${i}`, type: 'int16', value: resource.error }];
  }
  const fields = [
    text('resource', resource.name),
    text('provname', resource.provname),
    text('localpath', resource.localpath),
    text('remoteaddr', resource.remoteaddr),
  ];
  if (resource.sourceaddr !== null) fields.push(text('sourceaddr', resource.sourceaddr));
  fields.push(
    text('replication', resource.replication),
    text('checksum', resource.checksum),
    text('compression', resource.compression),
    text('role', resource.role),
    { name: `workerpid${i}`, type: 'int32', value: resource.workerpid },
  );
  const { worker } = resource;
  if (worker === null) return fields;
  fields.push(
    text('status', worker.status),
    u64('dirty', worker.dirty),
    u32('extentsize', worker.extentsize),
    u32('keepdirty', worker.keepdirty),
  );
  for (const [name, key] of STATISTICS) fields.push(u64(name, worker.statistics[key]));
  for (const [name, key] of QUEUES) fields.push(u64(name, worker.queues[key]));
  return fields;
}

/**
 * @param kind what was asked: a reply does not say
 * @throws WireError `nv-type`, `nv-range`, `hastctl-field`
 */
export function decodeHastctlReply(nv: NvMap, kind: 'setrole' | 'status'): HastctlReply {
  const error = nv.number('error', 'int16');
  if (error !== undefined && error !== 0) return { kind: 'error', error };
  const version = nv.string(INTRODUCTION);
  if (version !== undefined) return { kind: 'hastate', version };
  const names: string[] = [];
  for (let i = 0; i < MAX_RESOURCES; i++) {
    const name = nv.string(`resource${i}`);
    if (name === undefined) break;
    names.push(name);
  }
  const refusal = (name: string, i: number): HastctlRefusal | null => {
    const number = nv.number(`error${i}`, 'int16') ?? 0;
    return number === 0 ? null : { name, error: number };
  };
  if (kind === 'setrole') {
    return {
      kind,
      resources: names.map(
        (name, i) =>
          refusal(name, i) ?? { name, previousRole: word(ROLES, nv.string(`role${i}`), `role${i}`) },
      ),
    };
  }
  return { kind, resources: names.map((name, i) => refusal(name, i) ?? readStatus(nv, name, i)) };
}

const ROLES = Object.keys(ROLE_NUMBERS).filter(isRole);
const MODES: readonly ReplicationMode[] = ['fullsync', 'memsync', 'async'];
const CHECKSUMS: readonly ChecksumKind[] = ['none', 'crc32', 'sha256'];
const COMPRESSIONS: readonly CompressionKind[] = ['none', 'hole', 'lzf'];

function readStatus(nv: NvMap, name: string, i: number): HastctlStatus {
  const text = (field: string): string => nv.string(`${field}${i}`) ?? '';
  const u64 = (field: string): number => nv.size(`${field}${i}`) ?? 0;
  const u32 = (field: string): number => nv.number(`${field}${i}`, 'uint32') ?? 0;
  const status = nv.string(`status${i}`);
  return {
    name,
    provname: text('provname'),
    localpath: text('localpath'),
    remoteaddr: text('remoteaddr'),
    sourceaddr: nv.string(`sourceaddr${i}`) ?? null,
    replication: word(MODES, text('replication'), `replication${i}`),
    // hastd of FreeBSD 8 has neither.
    checksum: word(CHECKSUMS, nv.string(`checksum${i}`) ?? 'none', `checksum${i}`),
    compression: word(COMPRESSIONS, nv.string(`compression${i}`) ?? 'none', `compression${i}`),
    role: word(ROLES, text('role'), `role${i}`),
    workerpid: nv.number(`workerpid${i}`, 'int32') ?? 0,
    worker:
      status === undefined
        ? null
        : {
            status: word(['complete', 'degraded'], status, `status${i}`),
            dirty: u64('dirty'),
            extentsize: u32('extentsize'),
            keepdirty: u32('keepdirty'),
            statistics: {
              read: u64('stat_read'),
              write: u64('stat_write'),
              delete: u64('stat_delete'),
              flush: u64('stat_flush'),
              activemapUpdate: u64('stat_activemap_update'),
              readError: u64('stat_read_error'),
              writeError: u64('stat_write_error'),
              deleteError: u64('stat_delete_error'),
              flushError: u64('stat_flush_error'),
            },
            queues: {
              idle: u64('idle_queue_size'),
              local: u64('local_queue_size'),
              send: u64('send_queue_size'),
              recv: u64('recv_queue_size'),
              done: u64('done_queue_size'),
            },
          },
  };
}

function isRole(value: string): value is HastRole {
  return value in ROLE_NUMBERS;
}

function word<T extends string>(allowed: readonly T[], value: string | undefined, field: string): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new WireError('hastctl-field', 0, field, `control reply field ${field} is "${String(value)}"`);
  }
  return found;
}
