/**
 * What a releasing node says of its disks when it hands a group over, and what the other one makes
 * sure of before it takes over: a handover must not skip a byte that only the releaser has (D4).
 */
import { EngineError } from './errors.ts';
import { compareEpochs, compareHistories, type ResourceRecord } from './record.ts';

/** One resource of the group, with what its disk says here; null when it is not open. */
export interface HandoverMember {
  readonly resource: string;
  readonly record: ResourceRecord | null;
}

export type HandoverRecords = Readonly<Record<string, ResourceRecord>>;

/** @throws EngineError `handover-incomplete` when the release found that the peer lacks something */
export function handoverRecords(members: readonly HandoverMember[]): HandoverRecords {
  const records = members.map(({ resource, record }) => {
    if (record?.released !== true) {
      throw new EngineError(
        'handover-incomplete',
        `${resource}: the peer lost the connection before it had everything; the group stays here`,
      );
    }
    return [resource, record] as const;
  });
  return Object.fromEntries(records);
}

/** Why these records do not let us take over, or null when they do. */
export function refusesHandover(
  members: readonly HandoverMember[],
  records: unknown,
  self: string,
): string | null {
  const theirs = (records ?? {}) as Partial<Record<string, ResourceRecord>>;
  for (const { resource: name, record: ours } of members) {
    const record = theirs[name];
    if (ours === null) return `${name} is not open here`;
    if (record === undefined) return `${name}: the releaser said nothing of its disk`;
    if (!record.released) return `${name}: the releaser did not release it`;
    if (!record.inSync.includes(self)) return `${name}: the releaser does not call ${self} in sync`;
    if (compareEpochs(ours.epoch, record.epoch) !== 'same') return `${name}: the epochs differ`;
    if (compareHistories(ours.generations, record.generations) !== 'same') {
      return `${name}: the disks have different histories`;
    }
  }
  return null;
}
