/** What the daemons say to each other of `hastate verify`, on the peer channel. */
import { count, flag, oneOf, orNull, shortText } from './peer-message-fields.ts';

export type VerifyStep =
  | {
      readonly action: 'start';
      /** Bytes per second, 0: without limit; null: as a resync. */
      readonly rate: number | null;
      readonly repair: boolean;
    }
  | { readonly action: 'stop' }
  /** Only tell how it is. */
  | { readonly action: 'look' };

export type VerifyRequest = VerifyStep & { readonly resource: string };

/** @throws WireError `peer-message-field` */
export function readVerifyRequest(params: Readonly<Record<string, unknown>>): VerifyRequest {
  const resource = shortText(params['resource'], 'resource');
  const action = oneOf(params['action'], 'action', ['start', 'stop', 'look']);
  if (action !== 'start') return { action, resource };
  return {
    action,
    resource,
    rate: orNull(params['rate'] ?? null, 'rate', count),
    repair: flag(params['repair'], 'repair'),
  };
}
