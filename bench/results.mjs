/** Results of the benches: kept in files, compared with the last committed ones, and on what machine they were had. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from '../scripts/sources.mjs';

/** What lies there. */
function stored(file) {
  return existsSync(join(ROOT, file)) ? JSON.parse(readFileSync(join(ROOT, file), 'utf8')) : null;
}

/** The last committed result; without git what lies there. */
export function committed(file) {
  try {
    const options = { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return JSON.parse(execFileSync('git', ['show', `HEAD:${file}`], options));
  } catch {
    return stored(file);
  }
}

/** @param all whether everything was measured; else other measures stay as they are */
function store(file, result, all) {
  const measures = all ? result.measures : { ...stored(file)?.measures, ...result.measures };
  mkdirSync(dirname(join(ROOT, file)), { recursive: true });
  writeFileSync(join(ROOT, file), `${JSON.stringify({ ...result, measures }, null, 2)}\n`);
}

/** Keeps and tells what was measured. @param before what it is compared with, or null @param all see store() */
export function conclude({ file, result, all, before, regressions, json, say }) {
  store(file, result, all);
  if (json) console.log(JSON.stringify(result));
  if (before === null) say('There is no committed result to compare with.');
  else if (regressions.length > 0)
    say(`Worse than the committed result beyond noise: ${regressions.join(', ')}`);
  else say('Nothing is worse than the committed result beyond noise.');
}

export function machine() {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: release().replace(/[^0-9.].*$/, ''),
    node: process.versions.node,
    // Of others, when it began: a ratio stands a busy machine better than a rate, but not well.
    loadBefore: Math.round(loadavg()[0] * 10) / 10,
  };
}
