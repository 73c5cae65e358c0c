/** Our primary does what every captured primary did, beside the captured secondary: it must send the same. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { HAST_CMD } from '../../src/protocol/hast-message.ts';
import { type Capture, captureNames, handshakeOf, loadCapture } from '../support/interop/captured.ts';
import { type Compared, withU64 } from '../support/interop/compare.ts';
import { type Driven, isReplaced, PrimaryReplay } from '../support/interop/primary-replay.ts';
import { bundleWorker } from '../support/interop/real-engine.ts';
import {
  type ByDesign,
  compareStream,
  idleReasons,
  judge,
  replayTable,
  type Row,
} from '../support/interop/replay-report.ts';

const EVERY = /^/;
const BY_DESIGN: readonly ByDesign[] = [
  {
    scenario: EVERY,
    what: 'beside: FLUSH',
    why: 'FLUSH before in sync and before clean (A6)',
  },
  { scenario: EVERY, what: 'seq', why: 'each request has a seq of its own' },
  { scenario: EVERY, what: 'lzf', why: 'another LZF encoder, same data' },
  { scenario: EVERY, what: 'order', why: 'two pieces of a resync in flight', sometimes: true },
  {
    scenario: EVERY,
    what: 'instead of DELETE: zeros',
    why: 'zeros written instead of DELETE, TRIM not passed on',
  },
  {
    scenario: EVERY,
    what: 'instead of KEEPALIVE: READ',
    why: 'READ, which is answered, instead of KEEPALIVE',
  },
  {
    scenario: /^datasize-mismatch$/,
    what: 'in addition: cmd 5, refused ',
    why: 'tells the peer in a KEEPALIVE why it leaves',
  },
];
/** By its name: what a foreign primary began there is as good with ours. */
const HANDSHAKES = captureNames('fakeprimary').filter((name) =>
  /^(decision_|version-(1|absent)$)/.test(name),
);

const rows: Row[] = [];
let bundle: Awaited<ReturnType<typeof bundleWorker>>;
beforeAll(async () => {
  bundle = await bundleWorker('primary-replay');
});
afterAll(() => {
  bundle.remove();
  rows.sort((a, b) => (a.scenario < b.scenario ? -1 : a.scenario > b.scenario ? 1 : 0));
  process.stdout.write(`\nOur primary against captured secondaries\n${replayTable(rows, BY_DESIGN)}`);
});

let hosts = 0;
function ownHost(): string {
  hosts += 1;
  return `127.0.62.${hosts}`;
}

async function drive(capture: Capture, handshakeOnly = false): Promise<Driven> {
  const replay = new PrimaryReplay(capture, bundle.worker, ownHost(), handshakeOnly);
  try {
    return await replay.run();
  } finally {
    await replay.close();
  }
}

/** A virgin's resuid is random. Requests are numbered as captured, which is noted. */
function rowOf(capture: Capture, conn: number, driven: Driven): Row {
  const all = capture.connections.get(conn)?.p2s.messages ?? [];
  const captured = all.filter((message) => !isReplaced(message));
  const { messages, beside, swapped } = driven.sent.get(conn) ?? { messages: [], beside: [], swapped: 0 };
  const deletes = all.filter(({ nv }) => commandOf(nv) === 'DELETE');
  const zeros = beside.filter(({ nv }) => isHole(nv));
  const asked = all.some(({ nv }) => commandOf(nv) === 'KEEPALIVE') ? 'instead of KEEPALIVE' : 'beside';
  const notes = beside
    .filter(({ nv }) => !isHole(nv))
    .map(({ nv }) => `${commandOf(nv) === 'READ' ? asked : 'beside'}: ${commandOf(nv)}`);
  // What its disk makes of a DELETE nobody knows; a TRIM that reached the wire would be there as a request, too.
  if (deletes.length + zeros.length > 0)
    notes.push(
      `instead of DELETE: ${samePlaces(zeros, deletes) ? 'zeros' : `${zeros.length} of ${deletes.length}`}`,
    );
  if (swapped > 0) notes.push(`order: ${swapped} came earlier`);
  const numbered = messages.map((message, i) => {
    if (message.nv.has('resuid')) return withTheirResuid(message, capture, driven);
    const theirs = captured[i]?.nv.big('seq', 'uint64');
    const ours = message.nv.big('seq', 'uint64');
    if (ours === theirs || ours === undefined || theirs === undefined) return message;
    notes.push(`seq ${ours} instead of ${theirs}`);
    return withU64(message, 'seq', theirs);
  });
  const row = compareStream(capture.name, `conn${conn} p2s`, numbered, captured);
  return { ...row, differences: [...row.differences, ...notes] };
}

/** The one that our primary made up at its first handshake, and kept, has that of the capture in its place. */
function withTheirResuid(message: Compared, { connections, sessions }: Capture, driven: Driven): Compared {
  const conn = sessions[0]?.second ?? 0;
  const theirs = connections.get(conn)?.p2s.messages[0]?.nv;
  const madeUp = driven.sent.get(conn)?.messages[0]?.nv.big('resuid', 'uint64');
  const resuid = theirs?.big('resuid', 'uint64');
  if (resuid === undefined || theirs?.has('virgin') !== true) return message;
  return message.nv.big('resuid', 'uint64') === madeUp ? withU64(message, 'resuid', resuid) : message;
}

/** Zeros cost four bytes on the wire, whatever compression the resource has. */
function isHole(nv: Compared['nv']): boolean {
  return (
    commandOf(nv) === 'WRITE' && nv.string('compression') === 'hole' && nv.number('size', 'uint32') === 4
  );
}

function samePlaces(ours: readonly Compared[], theirs: readonly Compared[]): boolean {
  const places = (messages: readonly Compared[]): string =>
    messages.map(({ nv }) => `${nv.size('offset')}+${nv.size('length')}`).join();
  return places(ours) === places(theirs);
}

function commandOf(nv: Compared['nv']): string {
  return COMMANDS[nv.number('cmd', 'uint8') ?? 0] ?? 'no command';
}

const COMMANDS: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(HAST_CMD).map(([name, number]) => [number, name]),
);

describe.concurrent('the primary', () => {
  it.each(captureNames('streams'))(
    'sends what hastd sent in %s, and its disk is as written',
    async (name) => {
      const capture = loadCapture('streams', name);
      const driven = await drive(capture);
      const mine = [...capture.connections.keys()].map((conn) => rowOf(capture, conn, driven));
      rows.push(...mine);
      expect(mine.flatMap((row) => judge(row, BY_DESIGN).unexpected)).toEqual([]);
      expect(driven.sameData).toBe(true);
    },
  );

  it.each(HANDSHAKES)(
    'shakes hands as in %s and starts to copy in the direction that it was told',
    async (name) => {
      const capture = loadCapture('fakeprimary', name);
      const driven = await drive(capture, true);
      const mine = rowOf(capture, 2, driven);
      rows.push(mine);
      expect(judge(mine, BY_DESIGN).unexpected).toEqual([]);
      const { reply, map } = handshakeOf(capture, { first: 1, second: 2 });
      const [asked] = driven.sent.get(1)?.beside ?? [];
      if (reply === null || reply.has('errmsg') || map !== null || reply.has('virgin')) return;
      const wanted = reply.number('syncsrc', 'uint8') === 2 ? HAST_CMD.READ : HAST_CMD.WRITE;
      expect(asked?.nv.number('cmd', 'uint8')).toBe(wanted);
    },
  );
});

it('excuses no difference that there is none of', () => {
  expect(idleReasons(rows, BY_DESIGN)).toEqual([]);
});
