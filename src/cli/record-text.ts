/** A resource's durable record in lines for `hastate list`, in the manner of hastctl's. */
import { NO_ID } from '../model/record.ts';
import type { ResourceRecord } from '../model/record.ts';

/** Which history the data belongs to, who has all of it, and what this disk is worth. */
export function recordText({ epoch, generations, state, primary, inSync }: ResourceRecord): string {
  const { current, previous } = generations;
  return [
    `  state: ${state}`,
    `  epoch: ${epoch.number === 0 ? 'none' : `${epoch.number} (${epoch.id})`}`,
    `  last primary: ${primary ?? 'none'}`,
    `  generation: ${current === NO_ID ? 'none' : current}`,
    `  generation before: ${previous === NO_ID ? 'none' : previous}`,
    `  in sync: ${inSync.length === 0 ? 'nobody' : inSync.join(', ')}`,
    '',
  ].join('\n');
}
