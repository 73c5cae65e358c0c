/**
 * What the two daemons say to each other on the peer channel: one JSON object per line.
 * Fields that a later version adds are ignored; a missing or wrong field is a WireError.
 * Times are ms on the sender's monotonic clock and mean nothing to the receiver but as an echo.
 * @see SAFETY "Words", A3, A4, A5, B3-B6, D4
 */
import { createHash } from 'node:crypto';
import { CERTIFICATE_FAULTS } from '../model/certificates.ts';
import type { CertificateFault } from '../model/certificates.ts';
import type { HoldReason } from '../model/holds.ts';
import type { Epoch, Freshness, ResourceRecord } from '../model/record.ts';
import type { HastRole, NodeName } from '../model/roles.ts';
import type { Timing } from '../model/timing.ts';
import { WireError } from '../model/errors.ts';
import {
  count,
  finite,
  flag,
  list,
  object,
  oneOf,
  orNull,
  shortText,
  text,
  hexId,
} from './peer-message-fields.ts';

/** Bytes of one message with its line feed. */
export const PEER_LINE_LIMIT = 65_536;
/** Groups or resources in one heartbeat. */
const LIST_LIMIT = 256;

/** First on every connection, from both sides. */
export interface PeerHello {
  readonly type: 'hello';
  readonly node: NodeName;
  /** Random per daemon start, 16 hex digits. */
  readonly boot: string;
  readonly version: string;
  /** timingDigest() of the sender's settings, or empty. */
  readonly timing: string;
}

export interface GroupReport {
  readonly name: string;
  readonly primary: boolean;
  readonly changing: boolean;
  readonly healthy: boolean;
  readonly epoch: Epoch;
  readonly virgin: boolean;
  /** Its own decision would not refuse to promote it. */
  readonly candidate: boolean;
  /** An operator holds it there. */
  readonly hold: HoldReason['code'] | null;
  /** 16 hex digits, equal where both nodes have the same address settings; null: it does not tell. */
  readonly addressSet: string | null;
}

export interface ResourceReport {
  readonly name: string;
  readonly record: ResourceRecord;
  readonly freshnessKind: Freshness['kind'];
  readonly role: HastRole;
}

export interface HeartbeatBody {
  readonly groups: readonly GroupReport[];
  readonly resources: readonly ResourceReport[];
}

export interface PeerHeartbeat extends HeartbeatBody {
  readonly type: 'heartbeat';
  readonly seq: number;
  readonly sentAt: number;
  /** The latest `sentAt` received of the other node, and the boot that it is of: proof that it was heard. */
  readonly echo: { readonly boot: string; readonly at: number } | null;
}

export const PEER_METHODS = [
  'outdate',
  'claim',
  'handover',
  'switchover',
  'status',
  'resolve',
  'verify',
] as const;
export type PeerMethod = (typeof PEER_METHODS)[number];

export interface PeerRequest {
  readonly type: 'request';
  readonly id: number;
  readonly method: PeerMethod;
  readonly params: Readonly<Record<string, unknown>>;
}

export type PeerReply =
  | { readonly type: 'reply'; readonly id: number; readonly ok: true; readonly result: unknown }
  | {
      readonly type: 'reply';
      readonly id: number;
      readonly ok: false;
      readonly error: { readonly code: string; readonly message: string };
    };

/** The sender stops on purpose: the end of the connection is no sign of death. */
export interface PeerGoodbye {
  readonly type: 'goodbye';
}

/** In place of a hello: TLS stands, and the sender does not like the receiver's certificate. */
export interface PeerRefusal {
  readonly type: 'refused';
  readonly fault: CertificateFault;
}

export type PeerMessage = PeerHello | PeerHeartbeat | PeerRequest | PeerReply | PeerGoodbye | PeerRefusal;

/** @throws WireError `peer-message-too-long` when the line would exceed PEER_LINE_LIMIT */
export function encodePeerMessage(message: PeerMessage): Buffer {
  const line = Buffer.from(`${JSON.stringify(message)}\n`);
  if (line.length > PEER_LINE_LIMIT) {
    throw new WireError(
      'peer-message-too-long',
      PEER_LINE_LIMIT,
      message.type,
      `a ${message.type} for the peer has ${line.length} bytes, more than the ${PEER_LINE_LIMIT} of a line`,
    );
  }
  return line;
}

/**
 * @param line one line, with or without its line feed
 * @throws WireError `peer-message-too-long`, `peer-message-not-json`, `peer-message-field`
 */
export function decodePeerMessage(line: Buffer): PeerMessage {
  if (line.length > PEER_LINE_LIMIT) {
    throw new WireError(
      'peer-message-too-long',
      PEER_LINE_LIMIT,
      'line',
      `a line of the peer has ${line.length} bytes, more than ${PEER_LINE_LIMIT}`,
    );
  }
  const fields = object(parse(line), 'message');
  const type = oneOf(fields['type'], 'type', [
    'hello',
    'heartbeat',
    'request',
    'reply',
    'goodbye',
    'refused',
  ]);
  switch (type) {
    case 'hello':
      return {
        type,
        node: shortText(fields['node'], 'node'),
        boot: hexId(fields['boot'], 'boot'),
        version: text(fields['version'], 'version', 255),
        timing: text(fields['timing'], 'timing', 255),
      };
    case 'heartbeat':
      return {
        type,
        seq: count(fields['seq'], 'seq'),
        sentAt: finite(fields['sentAt'], 'sentAt'),
        echo: orNull(fields['echo'], 'echo', readEcho),
        groups: list(fields['groups'], 'groups', LIST_LIMIT, readGroup),
        resources: list(fields['resources'], 'resources', LIST_LIMIT, readResource),
      };
    case 'request':
      return {
        type,
        id: count(fields['id'], 'id'),
        method: oneOf(fields['method'], 'method', PEER_METHODS),
        params: object(fields['params'], 'params'),
      };
    case 'reply':
      return readReply(fields);
    case 'goodbye':
      return { type };
    case 'refused':
      return { type, fault: oneOf(fields['fault'], 'fault', CERTIFICATE_FAULTS) };
  }
}

/** Equal on two nodes exactly when their times are: 16 hex digits. */
export function timingDigest(timing: Timing): string {
  const { heartbeatMs, promotionDelayMs, slackMs, leaseMs, holdMs } = timing;
  const times = [heartbeatMs, promotionDelayMs, slackMs, leaseMs, holdMs];
  return createHash('sha256').update(JSON.stringify(times)).digest('hex').slice(0, 16);
}

function parse(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8')) as unknown;
  } catch (cause) {
    throw new WireError('peer-message-not-json', 0, 'message', 'a line of the peer is not JSON', { cause });
  }
}

function readEcho(value: unknown, field: string): { boot: string; at: number } {
  const fields = object(value, field);
  return { boot: hexId(fields['boot'], `${field}.boot`), at: finite(fields['at'], `${field}.at`) };
}

export function readEpoch(value: unknown, field: string): Epoch {
  const fields = object(value, field);
  return {
    number: count(fields['number'], `${field}.number`),
    id: hexId(fields['id'], `${field}.id`),
  };
}

function readGroup(value: unknown, field: string): GroupReport {
  const fields = object(value, field);
  return {
    name: shortText(fields['name'], `${field}.name`),
    primary: flag(fields['primary'], `${field}.primary`),
    changing: flag(fields['changing'], `${field}.changing`),
    healthy: flag(fields['healthy'], `${field}.healthy`),
    epoch: readEpoch(fields['epoch'], `${field}.epoch`),
    virgin: flag(fields['virgin'], `${field}.virgin`),
    candidate: flag(fields['candidate'], `${field}.candidate`),
    hold: orNull(fields['hold'] ?? null, `${field}.hold`, readHold),
    // Earlier versions do not say it.
    addressSet: orNull(fields['addressSet'] ?? null, `${field}.addressSet`, hexId),
  };
}

function readHold(value: unknown, field: string): HoldReason['code'] {
  return oneOf(value, field, ['standby', 'maintenance']);
}

function readResource(value: unknown, field: string): ResourceReport {
  const fields = object(value, field);
  const kinds = ['inSync', 'behind', 'inconsistent', 'outdated', 'unknown'] as const;
  return {
    name: shortText(fields['name'], `${field}.name`),
    record: readRecord(fields['record'], `${field}.record`),
    freshnessKind: oneOf(fields['freshnessKind'], `${field}.freshnessKind`, kinds),
    role: oneOf(fields['role'], `${field}.role`, ['init', 'primary', 'secondary'] as const),
  };
}

export function readRecord(value: unknown, field: string): ResourceRecord {
  const fields = object(value, field);
  const generations = object(fields['generations'], `${field}.generations`);
  const states = ['virgin', 'clean', 'outdated', 'inconsistent'] as const;
  return {
    epoch: readEpoch(fields['epoch'], `${field}.epoch`),
    generations: {
      current: hexId(generations['current'], `${field}.generations.current`),
      previous: hexId(generations['previous'], `${field}.generations.previous`),
    },
    state: oneOf(fields['state'], `${field}.state`, states),
    primary: orNull(fields['primary'], `${field}.primary`, shortText),
    inSync: list(fields['inSync'], `${field}.inSync`, 16, shortText),
    released: flag(fields['released'], `${field}.released`),
  };
}

function readReply(fields: Readonly<Record<string, unknown>>): PeerReply {
  const id = count(fields['id'], 'id');
  if (flag(fields['ok'], 'ok')) return { type: 'reply', id, ok: true, result: fields['result'] ?? null };
  const error = object(fields['error'], 'error');
  return {
    type: 'reply',
    id,
    ok: false,
    error: {
      code: shortText(error['code'], 'error.code'),
      message: text(error['message'], 'error.message', 4096),
    },
  };
}
