/**
 * Measures hastate against its peers, which run in turns with it on the same machine, and compares
 * with the last committed result.
 * npm run bench -- [--only NAME]... [--rounds N] [--seconds S] [--json] [--list]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BENCH_PACKAGES } from '../scripts/debian-packages.mjs';
import { MEASURES } from './measures.mjs';
import { installPeers } from './peers.mjs';
import { compile } from './process.mjs';
import { committed, conclude, machine } from './results.mjs';
import { meets, worse } from './statistics.mjs';

/** Of a ratio that has no goal. */
const MORE_IS_BETTER = { atLeast: 0 };
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

const number = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(2));

function line({ name, goal }, { value, ours, peer, cpuUs, peerCpuUs, note }, before) {
  const wanted =
    goal === null ? '-' : goal.atLeast === undefined ? `<= ${goal.atMost}` : `>= ${goal.atLeast}`;
  const verdict = goal === null ? '' : meets(goal, value.median) ? 'met' : 'MISSED';
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
  installPeers(BENCH_PACKAGES, say);
  const before = committed(RESULT);
  const directory = await mkdtemp(join(tmpdir(), 'hastate-bench-clients-'));
  const result = { machine: machine(), measures: {} };
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
      if (old !== undefined && worse(measure.goal ?? MORE_IS_BETTER, old.value, measured.value))
        regressions.push(measure.name);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const all = options.measures.length === MEASURES.length;
  conclude({ file: RESULT, result, all, before, regressions, json: options.json, say });
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
