/**
 * Measures hastate against its peers, which run in turns with it on the same machine, and compares
 * with the last committed result.
 * npm run bench -- [--only NAME]... [--rounds N] [--seconds S] [--json] [--list]
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  BENCH_PACKAGES,
  canInstallPackages,
  installPackages,
  missingPackages,
} from '../scripts/debian-packages.mjs';
import { ROOT } from '../scripts/sources.mjs';
import { MEASURES } from './measures.mjs';
import { compile } from './process.mjs';
import { meets, worse } from './statistics.mjs';

const RESULT = 'bench/results/latest.json';

function readOptions() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '1' },
      'memory-seconds': { type: 'string', default: '60' },
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  });
  const wanted = values.only?.flatMap((names) => names.split(','));
  const unknown = wanted?.filter((name) => !MEASURES.some((measure) => measure.name === name)) ?? [];
  if (unknown.length > 0) throw new Error(`no measure ${unknown.join(', ')}; --list names them`);
  return {
    measures: MEASURES.filter(({ name }) => wanted?.includes(name) ?? true),
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    memorySeconds: Number(values['memory-seconds']),
    json: values.json,
    list: values.list,
  };
}

function installPeers(say) {
  const missing = missingPackages(BENCH_PACKAGES);
  if (missing.length === 0) return;
  if (!canInstallPackages()) throw new Error(`these Debian packages are needed: ${missing.join(' ')}`);
  say(`installing ${missing.join(' ')}`);
  const failed = installPackages(missing);
  if (failed.length > 0) throw new Error(`these could not be installed: ${failed.join(' ')}`);
}

/** What lies there: other measures stay as they are when only some run. */
function stored() {
  return existsSync(join(ROOT, RESULT)) ? JSON.parse(readFileSync(join(ROOT, RESULT), 'utf8')) : null;
}

/** The last committed result; without git what lies there. */
function committed() {
  try {
    const options = { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return JSON.parse(execFileSync('git', ['show', `HEAD:${RESULT}`], options));
  } catch {
    return stored();
  }
}

function machine() {
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

const number = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(2));

function line({ name, goal }, { value, ours, peer, cpuUs, peerCpuUs, note }, before) {
  const wanted = goal.atLeast === undefined ? `<= ${goal.atMost}` : `>= ${goal.atLeast}`;
  const verdict = meets(goal, value.median) ? 'met' : 'MISSED';
  const rates = ours === undefined ? '' : `  ${shown(ours.median)} against ${shown(peer.median)}`;
  const other = peerCpuUs === undefined ? '' : ` (peer ${number(peerCpuUs.median)})`;
  const cpu = cpuUs === undefined ? '' : `  ${number(cpuUs.median)} µs CPU${other}`;
  const change = before === undefined ? '' : `  before ${number(before.value.median)}`;
  const range = `${number(value.median)} [${number(value.min)}..${number(value.max)}]`;
  const tail = `${rates}${cpu}${change}${note === undefined ? '' : `  (${note})`}`;
  return `${name.padEnd(18)} ${range.padEnd(24)} goal ${wanted.padEnd(7)} ${verdict.padEnd(6)}${tail}`;
}

function shown(value) {
  return value > 1e6 ? `${(value / 1e6).toFixed(0)} MB/s` : `${value.toFixed(1)} µs`;
}

async function main() {
  const options = readOptions();
  if (options.list) {
    for (const { name, what } of options.measures) console.log(`${name.padEnd(18)} ${what}`);
    return;
  }
  // With --json only the result goes to standard output.
  const say = options.json ? (text) => console.error(text) : (text) => console.log(text);
  installPeers(say);
  const before = committed();
  const directory = await mkdtemp(join(tmpdir(), 'hastate-bench-clients-'));
  const result = {
    machine: machine(),
    measures: options.measures.length === MEASURES.length ? {} : { ...stored()?.measures },
  };
  const regressions = [];
  try {
    const tools = { load: compile(directory, 'nbd-load'), loopback: compile(directory, 'loopback') };
    for (const measure of options.measures) {
      const measured = await measure.run({ ...options, tools }).catch((error) => {
        say(`${measure.name.padEnd(18)} could not be measured: ${error.message}`);
        process.exitCode = 1;
        return null;
      });
      if (measured === null) continue;
      const old = before?.measures[measure.name];
      result.measures[measure.name] = { what: measure.what, goal: measure.goal, ...measured };
      say(line(measure, measured, old));
      if (old !== undefined && worse(measure.goal, old.value, measured.value)) regressions.push(measure.name);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  mkdirSync(join(ROOT, 'bench/results'), { recursive: true });
  writeFileSync(join(ROOT, RESULT), `${JSON.stringify(result, null, 2)}\n`);
  if (options.json) console.log(JSON.stringify(result));
  if (before === null) say('There is no committed result to compare with.');
  else if (regressions.length > 0)
    say(`Worse than the committed result beyond noise: ${regressions.join(', ')}`);
  else say('Nothing is worse than the committed result beyond noise.');
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
