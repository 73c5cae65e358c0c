/** What a program reaches that makes the copies of a measure and nothing else, with one thread for each process. */
import { join } from 'node:path';
import { makeFile } from './nodes.mjs';
import { client } from './process.mjs';
import { MIB } from './stages.mjs';
import { summary } from './statistics.mjs';

const FILE_BYTES = 96 * MIB;

/**
 * @param kind `mirror`: of a write to two nodes, `resync`: of a resynchronization
 * @param directory for two files, where the nodes' disks are too
 * @returns does one run of so many seconds, for its bytes per second
 */
export async function copies(kind, directory) {
  const files = ['near.copy', 'far.copy'].map((name) => join(directory, name));
  for (const file of files) await makeFile(file, FILE_BYTES);
  return async ({ tools, seconds }) =>
    (await client(tools.loopback, kind, seconds, MIB, ...files)).bytesPerSecond;
}

/** @param results of rounds: bytes per second of `ours`, the `peer` and the `copies` */
export function ofCopies(results) {
  const part = (of, base) => summary(results.map((result) => result[of] / result[base])).median.toFixed(2);
  return `the copies alone allow ${part('copies', 'peer')}; reached of that: ${part('ours', 'copies')}`;
}
