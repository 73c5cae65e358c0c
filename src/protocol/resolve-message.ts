/** What the daemons say to each other of `hastate resolve`, on the peer channel. @see SAFETY D5 */
import type { AfterSplit } from '../model/after-split.ts';
import type { Epoch } from '../model/record.ts';
import type { CopyFacts } from '../model/resolve.ts';
import { count, flag, hexId, object, oneOf, orNull, shortText, text } from './peer-message-fields.ts';
import { readEpoch, readRecord } from './peer-message.ts';

/** A copy as it was judged: when it is another by now, nothing is given up. */
export interface JudgedCopy {
  readonly epoch: Epoch;
  /** Its current generation. */
  readonly generation: string;
}

/** Of a map in one message, whose line is bounded. */
export const MARKS_BYTES = 32 * 1024;
const MARKS_TEXT = Math.ceil(MARKS_BYTES / 3) * 4;

export type ResolveStep =
  /** Tell of the copy there. */
  | { readonly step: 'look' }
  /** Tell which extents are marked there: MARKS_BYTES of the map from byte `from` on. */
  | { readonly step: 'marks'; readonly from: number }
  /** Note it in the journal, before anything is given up. */
  | {
      readonly step: 'announce';
      readonly discard: string;
      readonly demote: boolean;
      /** What decided it; null: an operator. */
      readonly policy: AfterSplit | null;
    }
  /** Give the copy there up. */
  | { readonly step: 'discard'; readonly judged: JudgedCopy; readonly demote: boolean }
  /** The other copy was given up: the one there is the only one. */
  | { readonly step: 'kept' };

export type ResolveRequest = ResolveStep & { readonly resource: string };

/** @throws WireError `peer-message-field` */
export function readResolveRequest(params: Readonly<Record<string, unknown>>): ResolveRequest {
  const resource = shortText(params['resource'], 'resource');
  const step = oneOf(params['step'], 'step', ['look', 'marks', 'announce', 'discard', 'kept']);
  switch (step) {
    case 'marks':
      return { step, resource, from: count(params['from'], 'from') };
    case 'announce':
      return {
        step,
        resource,
        discard: shortText(params['discard'], 'discard'),
        demote: flag(params['demote'], 'demote'),
        // Earlier versions do not say it.
        policy: orNull(params['policy'] ?? null, 'policy', readPolicy),
      };
    case 'discard': {
      const judged = object(params['judged'], 'judged');
      return {
        step,
        resource,
        judged: {
          epoch: readEpoch(judged['epoch'], 'judged.epoch'),
          generation: hexId(judged['generation'], 'judged.generation'),
        },
        demote: flag(params['demote'], 'demote'),
      };
    }
    default:
      return { step, resource };
  }
}

function readPolicy(value: unknown, field: string): AfterSplit {
  return oneOf(value, field, ['disconnect', 'discard-zero-changes', 'discard-least-changes']);
}

/** The answer to `marks`. @throws WireError `peer-message-field` */
export function readMarks(value: unknown): Buffer {
  return Buffer.from(text(object(value, 'marks')['marks'], 'marks', MARKS_TEXT), 'base64');
}

/** The answer to `look`. @throws WireError `peer-message-field` */
export function readCopyFacts(value: unknown): CopyFacts {
  const fields = object(value, 'copy');
  const number = (name: string): number => count(fields[name], `copy.${name}`);
  return {
    node: shortText(fields['node'], 'copy.node'),
    role: oneOf(fields['role'], 'copy.role', ['init', 'primary', 'secondary']),
    group: shortText(fields['group'], 'copy.group'),
    record: orNull(fields['record'], 'copy.record', readRecord),
    error: orNull(fields['error'], 'copy.error', (error, field) => text(error, field, 4096)),
    dirtyExtents: number('dirtyExtents'),
    dirtyBytes: number('dirtyBytes'),
    extentBytes: number('extentBytes'),
    dataBytes: number('dataBytes'),
  };
}
