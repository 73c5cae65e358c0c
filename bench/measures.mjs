/** What is measured against what, and the goal. Every measure runs alone, with servers of its own. */
import { copies, ofCopies } from './copies.mjs';
import { foregroundDuringResync, memory, resync } from './long-measures.mjs';
import { client } from './process.mjs';
import { DISK, localStage, MEMORY, MIB, on, pairStage, quorumStage, withCpu } from './stages.mjs';
import { summary } from './statistics.mjs';

const SMALL = { bytes: 4096, depth: 32, order: 'random' };
const LARGE = { bytes: MIB, depth: 4, order: 'sequential' };
const SPAN = 256 * MIB;
/** Fits into what `keepdirty` keeps, so that no map write is part of it. */
const PAIR_SPAN = 96 * MIB;

/** Has the client work on one side. @returns what it printed, with `cpuUs` of the side's processes */
function load({ tools, seconds }, { socket, name, pids }, kind, shape, span, round) {
  const { bytes, depth, order } = shape;
  const args = [socket, name, kind, bytes, depth, span, seconds, order, round + 1];
  return withCpu(pids, () => client(tools.load, ...args));
}

/** Runs both alternately, the other one first every other time. */
async function alternate({ rounds }, ours, peer) {
  const results = [];
  // What has just started is slow: caches are empty, code is not compiled yet.
  await ours(0);
  await peer(0);
  for (let round = 0; round < rounds; round += 1) {
    const steps = round % 2 === 0 ? [ours, peer] : [peer, ours];
    const [first, second] = [await steps[0](round), await steps[1](round)];
    results.push(round % 2 === 0 ? { ours: first, peer: second } : { ours: second, peer: first });
  }
  return results;
}

function ratios(results, of) {
  return {
    value: summary(results.map(({ ours, peer }) => of(ours) / of(peer))),
    ours: summary(results.map(({ ours }) => of(ours))),
    peer: summary(results.map(({ peer }) => of(peer))),
    cpuUs: summary(results.map(({ ours }) => ours.cpuUs / ours.operations)),
    ...(results[0].peer.cpuUs === undefined
      ? {}
      : { peerCpuUs: summary(results.map(({ peer }) => peer.cpuUs / peer.operations)) }),
  };
}

const rate = ({ bytesPerSecond }) => bytesPerSecond;

function local(parent, kind, shape, prepare = async () => undefined, more = {}) {
  return (run) =>
    on([() => localStage(parent, SPAN, more)], async ({ ours, peer, files }) => {
      const one = (side, file) => async (round) => {
        await prepare(run, file);
        return load(run, side, kind, shape, SPAN, round);
      };
      return ratios(await alternate(run, one(ours, files.ours), one(peer, files.peer)), rate);
    });
}

/** As local(), with data that starts where a page does. */
const aligned = (kind) => local(MEMORY, kind, SMALL, undefined, { create: ['--align', '4k'] });

const evict = ({ tools }, file) => client(tools.loopback, 'evict', file);

function pairAgainst(kind, shape, makePeer, of = rate) {
  return (run) =>
    on([() => pairStage(MEMORY, SPAN)], async ({ ours }) => {
      const one = (round) => load(run, ours, kind, shape, PAIR_SPAN, round);
      return ratios(await alternate(run, one, () => makePeer(run)), of);
    });
}

const bulk = ({ tools, seconds }) => client(tools.loopback, 'bulk', seconds, MIB);
const pingPong = ({ tools, seconds }) => client(tools.loopback, 'pingpong', seconds, 4096);

/** The plain connection is one side; what the copies alone take is told beside it. */
function fullsyncLarge(run) {
  return on([() => pairStage(MEMORY, SPAN)], async ({ ours, nodes }) => {
    const copy = await copies('mirror', nodes.directory);
    const one = (round) => load(run, ours, 'write', LARGE, PAIR_SPAN, round);
    const results = await alternate(run, one, async () => ({
      ...(await bulk(run)),
      copies: await copy(run),
    }));
    const rates = results.map(({ ours, peer }) => ({
      ours: rate(ours),
      peer: rate(peer),
      copies: peer.copies,
    }));
    return { ...ratios(results, rate), note: ofCopies(rates) };
  });
}

function fullsyncAgainstQuorum(run) {
  return on([() => pairStage(MEMORY, SPAN), () => quorumStage(MEMORY, SPAN)], async ({ ours }, { peer }) => {
    const one = (side) => (round) => load(run, side, 'write', SMALL, PAIR_SPAN, round);
    return ratios(await alternate(run, one(ours), one(peer)), rate);
  });
}

/** An encrypted pair against a plain one. */
function encrypted(shape) {
  return (run) =>
    on(
      [() => pairStage(MEMORY, SPAN, { encrypted: true }), () => pairStage(MEMORY, SPAN)],
      async ({ ours }, { ours: peer }) => {
        const one = (side) => (round) => load(run, side, 'write', shape, PAIR_SPAN, round);
        return ratios(await alternate(run, one(ours), one(peer)), rate);
      },
    );
}

/** CPU time of our processes for one operation. */
function cpu(makeStage, kind, span) {
  return (run) =>
    on([makeStage], async ({ ours }) => {
      const values = [];
      await load(run, ours, kind, SMALL, span, 0);
      for (let round = 0; round < run.rounds; round += 1) {
        const result = await load(run, ours, kind, SMALL, span, round);
        values.push(result.cpuUs / result.operations);
      }
      return { value: summary(values) };
    });
}

/** Random writes over more extents than `keepdirty` keeps, against a map that never has to be written. */
function keepdirty(run) {
  const bytes = 1024 * MIB;
  const all = ['-k', '4096'];
  return on(
    [() => pairStage(DISK, bytes), () => pairStage(DISK, bytes, { create: all })],
    async ({ ours }, { ours: peer }) => {
      const one = (side) => (round) => load(run, side, 'write', SMALL, bytes, round);
      return ratios(await alternate(run, one(ours), one(peer)), rate);
    },
  );
}

const node = () => localStage(MEMORY, SPAN);
const pair = () => pairStage(MEMORY, SPAN);

const nbdkit = "nbdkit's file plugin, both in memory";

export const MEASURES = [
  [
    'local-4k-write',
    `4 KiB writes, 32 in flight, without a peer: rate / ${nbdkit}`,
    { atLeast: 1.3 },
    local(MEMORY, 'write', SMALL),
  ],
  [
    'local-4k-read',
    `4 KiB reads, 32 in flight: rate / ${nbdkit}`,
    { atLeast: 2 },
    local(MEMORY, 'read', SMALL),
  ],
  ['local-4k-write-aligned', "the same writes after 'create --align 4k'", null, aligned('write')],
  ['local-4k-read-aligned', "the same reads after 'create --align 4k'", null, aligned('read')],
  [
    'cold-4k-read',
    "4 KiB reads of a disk, none in the page cache: rate / nbdkit's",
    { atLeast: 0.6 },
    local(DISK, 'read', SMALL, evict),
  ],
  [
    'local-1m-write',
    `1 MiB writes, 4 in flight, without a peer: rate / ${nbdkit}`,
    { atLeast: 0.9 },
    local(MEMORY, 'write', LARGE),
  ],
  [
    'local-1m-read',
    `1 MiB reads, 4 in flight: rate / ${nbdkit}`,
    { atLeast: 0.9 },
    local(MEMORY, 'read', LARGE),
  ],
  [
    'fullsync-4k-write',
    '4 KiB writes to two nodes, 32 in flight: rate / quorum of qemu-storage-daemon over a file and nbdkit by TCP',
    { atLeast: 3 },
    fullsyncAgainstQuorum,
  ],
  [
    'fullsync-1m-write',
    '1 MiB writes to two nodes, 4 in flight: rate / plain TCP on loopback',
    { atLeast: 0.6 },
    fullsyncLarge,
  ],
  [
    'tls-4k-write',
    '4 KiB writes to two nodes whose link is encrypted, 32 in flight: rate / not encrypted',
    { atLeast: 0.5 },
    encrypted(SMALL),
  ],
  [
    'tls-1m-write',
    '1 MiB writes to two nodes whose link is encrypted, 4 in flight: rate / not encrypted',
    { atLeast: 0.3 },
    encrypted(LARGE),
  ],
  [
    'fullsync-latency',
    '4 KiB write to two nodes, one in flight: median time / a ping-pong by unix socket and then TCP',
    { atMost: 3 },
    pairAgainst('write', { ...SMALL, depth: 1 }, pingPong, ({ p50Us }) => p50Us),
  ],
  [
    'resync',
    'copying a whole disk to a node that missed it: rate / plain TCP on loopback',
    { atLeast: 0.7 },
    (run) => resync(run, bulk),
  ],
  [
    'resync-foreground',
    '4 KiB writes, 32 in flight, while the other node is resynchronized: rate / without',
    { atLeast: 0.5 },
    (run) => foregroundDuringResync(run, load, SMALL),
  ],
  [
    'local-4k-cpu',
    'CPU time of the daemon for a 4 KiB write without a peer, µs',
    { atMost: 8 },
    cpu(node, 'write', SPAN),
  ],
  [
    'local-4k-read-cpu',
    'CPU time of the daemon for a 4 KiB read, µs',
    { atMost: 8 },
    cpu(node, 'read', SPAN),
  ],
  [
    'fullsync-4k-cpu',
    'CPU time of both daemons for a 4 KiB write, µs',
    { atMost: 22 },
    cpu(pair, 'write', PAIR_SPAN),
  ],
  [
    'keepdirty',
    '4 KiB writes all over 1 GiB on disk with the default keepdirty: rate / without map writes',
    { atLeast: 0.5 },
    keepdirty,
  ],
  ['memory', 'resident MiB of the larger daemon, 3 resources, 60 s of load on all', { atMost: 250 }, memory],
].map(([name, what, goal, run]) => ({ name, what, goal, run }));
