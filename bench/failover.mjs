/**
 * Measures how long it takes until the other node answers at a shared address: among ucarp, keepalived and hastate
 * itself, in network namespaces joined by a bridge. Compares with the last committed result.
 * npm run bench:failover -- [--only NAME]... [--rounds N] [--json] [--list]
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { ROOT } from '../scripts/sources.mjs';
import { installPeers } from './peers.mjs';
import { committed, conclude, machine } from './results.mjs';
import { summary, worse } from './statistics.mjs';

const RESULT = 'bench/results/failover.json';
const PACKAGES = ['ucarp', 'keepalived', 'iproute2', 'nftables'];

/** They are TypeScript, as the labs of the tests that they use. */
async function loadMeasures() {
  // Deep enough for what the labs find by their own place, and beside the native packages.
  const bundle = join(ROOT, `node_modules/.cache/bench-failover-${process.pid}.mjs`);
  mkdirSync(join(ROOT, 'node_modules/.cache'), { recursive: true });
  await build({
    entryPoints: [join(ROOT, 'bench/failover/measures.ts')],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  });
  try {
    return (await import(bundle)).MEASURES;
  } finally {
    rmSync(bundle, { force: true });
  }
}

function readOptions(measures) {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  });
  const wanted = values.only?.flatMap((names) => names.split(','));
  const unknown = wanted?.filter((name) => !measures.some((measure) => measure.name === name)) ?? [];
  if (unknown.length > 0) throw new Error(`no measure ${unknown.join(', ')}; --list names them`);
  const rounds = values.rounds === undefined ? null : Number(values.rounds);
  if (rounds !== null && !(rounds >= 1)) throw new Error('--rounds must be a number, 1 or more');
  return { ...values, rounds, measures: measures.filter(({ name }) => wanted?.includes(name) ?? true) };
}

/** What was measured of each row; what never happened counts apart. */
function rowsOf(measure, samples) {
  const rows = {};
  for (const row of new Set(samples.map((sample) => sample.row))) {
    const ofRow = samples.filter((sample) => sample.row === row);
    const times = ofRow.flatMap(({ ms }) => (ms === null ? [] : [ms]));
    const pauses = ofRow.flatMap(({ pauseMs }) => pauseMs ?? []);
    const goal = measure.goals[row];
    rows[row] = {
      ...(times.length > 0 ? { value: summary(times) } : {}),
      ...(pauses.length > 0 ? { pause: summary(pauses) } : {}),
      never: ofRow.length - times.length,
      ...(goal === undefined ? {} : { goal: { atMost: goal } }),
    };
  }
  return rows;
}

const whole = (value) => value.toFixed(0);
const range = ({ median: middle, min, max }) => `${whole(middle)} (${whole(min)}..${whole(max)})`;

function line(name, { value, pause, never, goal }, before) {
  const met = value !== undefined && never === 0 && (goal === undefined || value.median <= goal.atMost);
  const verdict = goal === undefined ? '' : `goal ${whole(goal.atMost)} ${met ? 'met' : 'MISSED'}`;
  return [
    `  ${name.padEnd(30)}`,
    (value === undefined ? '-' : range(value)).padEnd(20),
    (pause === undefined ? '' : `pause ${range(pause)}`).padEnd(26),
    verdict.padEnd(18),
    before?.value === undefined ? '' : `before ${whole(before.value.median)}`,
    never === 0 ? '' : `  never: ${never} times`,
  ]
    .join(' ')
    .trimEnd();
}

function table(measure, rows, before) {
  const lines = Object.entries(rows).map(([name, row]) => line(name, row, before?.rows[name]));
  return [`${measure.name}: ${measure.what} [ms]`, ...lines].join('\n');
}

async function main() {
  const measures = await loadMeasures();
  const options = readOptions(measures);
  if (options.list) {
    for (const { name, what } of options.measures) console.log(`${name.padEnd(24)} ${what}`);
    return;
  }
  // With --json only the result goes to standard output.
  const say = options.json ? (text) => console.error(text) : (text) => console.log(text);
  if (process.getuid?.() !== 0 || process.platform !== 'linux')
    throw new Error('network namespaces are needed: run it as root on Linux');
  installPeers(PACKAGES, say);
  const open = new Set();
  const stopping = new AbortController();
  const before = committed(RESULT);
  const result = { machine: machine(), measures: {} };
  const regressions = [];
  const measureOne = async (measure) => {
    const rounds = options.rounds ?? (measure.name.startsWith('soak') ? 10 : 6);
    const owns = (close) => {
      open.add(close);
      return () => open.delete(close);
    };
    const samples = await measure.run({ rounds, say, signal: stopping.signal, owns }).catch((error) => {
      if (!stopping.signal.aborted) say(`${measure.name}: could not be measured: ${error.message}`);
      process.exitCode = 1;
      return null;
    });
    if (samples === null || stopping.signal.aborted) return;
    const old = before?.measures[measure.name];
    const rows = rowsOf(measure, samples);
    result.measures[measure.name] = { what: measure.what, rows };
    say(table(measure, rows, old));
    for (const [row, { value }] of Object.entries(rows)) {
      const was = old?.rows[row]?.value;
      if (was === undefined) continue;
      // What happened then and never does now is worse than any time.
      if (value === undefined || worse({ atMost: 0 }, was, value)) regressions.push(`${measure.name} ${row}`);
    }
  };
  const stop = () => {
    stopping.abort();
    void Promise.allSettled([...open].map((close) => close())).then(() => process.exit(130));
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);

  const lane = (name) => options.measures.filter((measure) => measure.lane === name);
  await Promise.all(lane('slow').map(measureOne));
  for (const measure of lane('fast')) if (!stopping.signal.aborted) await measureOne(measure);
  if (stopping.signal.aborted) return;

  const all = options.measures.length === measures.length;
  conclude({ file: RESULT, result, all, before, regressions, json: options.json, say });
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
