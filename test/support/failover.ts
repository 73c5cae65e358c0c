/** What the failover stories ask of a pair of nodes. */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { JournalEvent, NodeStatus, WhyNotResult } from '../../src/protocol/control.ts';
import { layout } from '../../src/protocol/hast-layout.ts';
import { groupOf, type LabDaemon, resourceOf } from './daemon.ts';
import { eventually } from './stamped-clients.ts';

const EXTENT_BYTES = 2 * 1024 * 1024;
const SECTOR_BYTES = 512;
const CHUNK_BYTES = 1024 * 1024;
/** Judged every 25 ms: what was not done after so many was not meant. */
const SETTLED_MS = 1000;

export function serves(status: NodeStatus, group = 'storage'): boolean {
  return groupOf(status, group).state === 'primary.serving';
}

/** `primary` serves, `standby` has everything, and both have recorded it: a failover would succeed. */
export async function untilPaired(
  { primary, standby }: { primary: LabDaemon; standby: LabDaemon },
  ms?: number,
): Promise<void> {
  const named = (status: NodeStatus): boolean => {
    const { record, sync, status: link } = resourceOf(status, 'disk1');
    return serves(status) && link === 'complete' && sync === null && record?.inSync.length === 2;
  };
  await primary.until(`in sync with ${standby.node}`, named, ms);
  await standby.until('in sync', (s) => resourceOf(s, 'disk1').freshness.kind === 'inSync', ms);
}

/** As untilPaired(), and the standby has confirmed it: before that a primary that has just been handed the epoch cannot hand it on. */
export async function untilHandsOver(pair: {
  readonly primary: LabDaemon;
  readonly standby: LabDaemon;
}): Promise<void> {
  await untilPaired(pair);
  await eventually(`${pair.primary.node} has the word of ${pair.standby.node}`, async () => {
    const log = await pair.primary.log();
    return log.lastIndexOf('Nodes are in sync') > log.lastIndexOf('role init -> primary');
  });
}

export async function whyNot(daemon: LabDaemon, group = 'storage'): Promise<WhyNotResult> {
  return (await daemon.request('why-not', { group })) as WhyNotResult;
}

/** The codes of the reasons why it may not become primary. */
export async function codesOf(daemon: LabDaemon): Promise<string[]> {
  return (await whyNot(daemon)).verdict.reasons.map(({ code }) => code);
}

/** Everything that this node noted, of all its lives. */
export async function journalOf({ files }: LabDaemon): Promise<JournalEvent[]> {
  const lines = (await readFile(join(files.stateDir, 'journal.jsonl'), 'utf8')).split('\n');
  // The last line may be half written when its writer was killed.
  return lines.flatMap((line) => {
    try {
      return [JSON.parse(line) as JournalEvent];
    } catch {
      return [];
    }
  });
}

/** How much each resync copied that this node finished as primary. Bytes. */
export async function resyncedBytes(daemon: LabDaemon): Promise<number[]> {
  const done = (await journalOf(daemon)).filter(({ kind }) => kind === 'engine.sync-done');
  return done.flatMap(({ data }) => (typeof data?.['bytes'] === 'number' ? [data['bytes']] : []));
}

/** @returns offsets of the chunks of user data in which two disks differ, in bytes */
export async function differences(one: string, other: string): Promise<number[]> {
  const files = [await open(one), await open(other)] as const;
  try {
    const { size } = await files[0].stat();
    const found: number[] = [];
    const chunks = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)] as const;
    for (let at = layout(size, EXTENT_BYTES, SECTOR_BYTES).localoff; at < size; at += CHUNK_BYTES) {
      const [a, b] = await Promise.all(
        files.map((file, i) => file.read(chunks[i] ?? chunks[0], 0, CHUNK_BYTES, at)),
      );
      const same = a !== undefined && b !== undefined && a.bytesRead === b.bytesRead;
      if (!same || chunks[0].compare(chunks[1]) !== 0) found.push(at);
    }
    return found;
  } finally {
    for (const file of files) await file.close();
  }
}

/** `daemon` hears nothing of the other node any more, and has had time to act on it. */
export async function untilGone(daemon: LabDaemon, other: string): Promise<void> {
  await daemon.until(`without ${other}`, ({ charts }) =>
    charts.some(
      ({ machine, value, sinceMs }) =>
        machine === 'link' &&
        (value === 'silent' || value === 'dead' || value === 'left') &&
        sinceMs > SETTLED_MS,
    ),
  );
}
