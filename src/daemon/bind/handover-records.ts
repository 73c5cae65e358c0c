/**
 * What a releasing node says of its disks when it hands a group over, and what the other one makes
 * sure of before it takes over: a handover must not skip a byte that only the releaser has (D4).
 */
import { EngineError } from '../../model/errors.ts';
import { compareEpochs, compareHistories, type ResourceRecord } from '../../model/record.ts';
import type { Member } from './members.ts';

export type HandoverRecords = Readonly<Record<string, ResourceRecord>>;

/** @throws EngineError `handover-incomplete` when the release found that the peer lacks something */
export function handoverRecords(members: readonly Member[]): HandoverRecords {
  const records = members.map(({ settings, snapshot }) => {
    if (snapshot?.record.released !== true) {
      throw new EngineError(
        'handover-incomplete',
        `${settings.name}: the peer lost the connection before it had everything; the group stays here`,
      );
    }
    return [settings.name, snapshot.record] as const;
  });
  return Object.fromEntries(records);
}

/** Why these records do not let us take over, or null when they do. */
export function refusesHandover(members: readonly Member[], records: unknown, self: string): string | null {
  const theirs = (records ?? {}) as Partial<Record<string, ResourceRecord>>;
  for (const { settings, snapshot } of members) {
    const record = theirs[settings.name];
    const { name } = settings;
    if (snapshot === null) return `${name} is not open here`;
    if (record === undefined) return `${name}: the releaser said nothing of its disk`;
    if (!record.released) return `${name}: the releaser did not release it`;
    if (!record.inSync.includes(self)) return `${name}: the releaser does not call ${self} in sync`;
    if (compareEpochs(snapshot.record.epoch, record.epoch) !== 'same') return `${name}: the epochs differ`;
    if (compareHistories(snapshot.record.generations, record.generations) !== 'same') {
      return `${name}: the disks have different histories`;
    }
  }
  return null;
}
