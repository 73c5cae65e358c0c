/**
 * Says whether a suite's real things are here. A skipped suite is recorded by name, so that
 * the run ends with the list of what was not tested and what it needs.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, appendFileSync, constants } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join, relative } from 'node:path';
import { expect } from 'vitest';

import { postgresBin } from './postgres-bin.ts';

const require = createRequire(import.meta.url);
const known = new Map<string, boolean>();

function isThere(word: string): boolean {
  switch (word) {
    case 'root':
      return process.getuid?.() === 0;
    case 'netns':
      return spawnSync('unshare', ['--net', 'true'], { stdio: 'ignore' }).status === 0;
    case 'fuse':
      return canOpen('/dev/fuse');
    case 'postgres':
      return postgresBin() !== null;
    case 'raw-socket':
    case 'koffi':
    case '@ronomon/direct-io':
      return loads(word);
    default:
      return isExecutable(word);
  }
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function loads(name: string): boolean {
  try {
    require(name);
    return true;
  } catch {
    return false;
  }
}

function isExecutable(name: string): boolean {
  // Root's tools stand outside the path of other users.
  const path = `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`;
  return path.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function has(word: string): boolean {
  let answer = known.get(word);
  if (answer === undefined) {
    answer = isThere(word);
    known.set(word, answer);
  }
  return answer;
}

/**
 * For `describe.skipIf(needs('root', 'nbdfuse'))(...)`.
 * @param words `root`, `netns`, `fuse`, `raw-socket`, `koffi`, `postgres`, or the name of any executable
 * @returns true (skip) when one of them is missing; the skip is recorded under the test file's name
 */
export function needs(...words: string[]): boolean {
  const missing = words.filter((word) => !has(word));
  if (missing.length === 0) return false;
  const record = process.env['HASTATE_SKIPS'];
  if (record !== undefined) {
    const suite = relative(process.cwd(), expect.getState().testPath ?? 'unknown suite');
    appendFileSync(record, `${suite}\t${missing.join(', ')}\n`);
  }
  return true;
}
