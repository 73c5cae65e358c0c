/** Measures in which a node stops and comes back, or which take a minute. */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { copies, ofCopies } from './copies.mjs';
import { client, residentBytes } from './process.mjs';
import { MEMORY, MIB, on, pairStage } from './stages.mjs';
import { summary } from './statistics.mjs';

const RESYNC_BYTES = 768 * MIB;
const POLL_MS = 20;
const LIMIT_MS = 60_000;

async function until(what, reached) {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await reached())) {
    if (performance.now() > deadline) throw new Error(`not ${what} within ${LIMIT_MS} ms`);
    await pause(POLL_MS);
  }
}

/** The other node misses a write to every extent, and comes back. */
async function missEverything({ tools }, { nodes, ours }) {
  const [, beta] = nodes.nodes;
  await beta.stop();
  const all = [ours.socket, 'disk', 'write', 4096, 4, RESYNC_BYTES, 0, 'touch'];
  await client(tools.load, ...all);
  beta.start();
}

const inSync = async (nodes) => {
  const { status, sync, record } = await nodes.resource();
  return status === 'complete' && sync === null && record.inSync.length === 2;
};

/** Bytes per second of the last synchronization, as the daemon's log tells. */
function lastRate(log) {
  const [, bytes, ms] = [
    ...readFileSync(log, 'utf8').matchAll(/complete\. (\d+) bytes synchronized in (\d+) ms/g),
  ].at(-1);
  return (Number(bytes) / Number(ms)) * 1000;
}

export function resync(run, bulk) {
  return on([() => pairStage(MEMORY, RESYNC_BYTES)], async (stage) => {
    const results = [];
    const copy = await copies('resync', stage.nodes.directory);
    for (let round = 0; round < run.rounds; round += 1) {
      const peer = await bulk(run);
      const alone = await copy(run);
      await missEverything(run, stage);
      await until('in sync again', () => inSync(stage.nodes));
      const ours = lastRate(stage.nodes.nodes[0].log);
      results.push({ ours, peer: peer.bytesPerSecond, copies: alone });
    }
    return {
      value: summary(results.map(({ ours, peer }) => ours / peer)),
      ours: summary(results.map(({ ours }) => ours)),
      peer: summary(results.map(({ peer }) => peer)),
      note: ofCopies(results),
    };
  });
}

export function foregroundDuringResync(run, load, shape) {
  return on([() => pairStage(MEMORY, RESYNC_BYTES)], async (stage) => {
    const { nodes } = stage;
    const results = [];
    const short = { ...run, seconds: Math.min(run.seconds, 1) };
    for (let round = 0; round < run.rounds; round += 1) {
      const ours = () => ({ ...stage.ours, pids: nodes.pids() });
      const without = await load(short, ours(), 'write', shape, 96 * MIB, round);
      await missEverything(run, stage);
      await until('synchronizing', async () => (await nodes.resource()).sync !== null);
      const during = await load(short, ours(), 'write', shape, 96 * MIB, round);
      const { sync } = await nodes.resource();
      results.push({ ratio: during.bytesPerSecond / without.bytesPerSecond, lasted: sync !== null });
      await until('in sync again', () => inSync(nodes));
    }
    return {
      value: summary(results.map(({ ratio }) => ratio)),
      // When it ended before the load did, the load had the rest of the time for itself.
      note: `${results.filter(({ lasted }) => lasted).length} of ${results.length} synchronizations outlasted the load`,
    };
  });
}

/** Mean of the samples in that part of the time. */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

export function memory({ tools, memorySeconds }) {
  const resources = ['disk', 'disk2', 'disk3'];
  return on([() => pairStage(MEMORY, 256 * MIB, { resources })], async ({ nodes }) => {
    const kinds = [
      ['write', 4096, 32],
      ['write', MIB, 4],
      ['read', 65536, 16],
    ];
    const loads = resources.map((name, index) =>
      client(tools.load, nodes.socket(name), name, ...kinds[index], 240 * MIB, memorySeconds, 'random'),
    );
    let running = true;
    const all = Promise.all(loads).finally(() => (running = false));
    const samples = [];
    while (running) {
      samples.push(Math.max(...nodes.pids().map(residentBytes)) / MIB);
      await Promise.race([pause(500), all]);
    }
    await all;
    const quarter = Math.max(1, samples.length >> 2);
    const growth = mean(samples.slice(-quarter)) / mean(samples.slice(quarter, 2 * quarter));
    return {
      value: {
        median: Math.max(...samples),
        min: Math.min(...samples),
        max: Math.max(...samples),
        rounds: 1,
      },
      note: `the last quarter of the time had ${growth.toFixed(2)} times the memory of the second`,
    };
  });
}
