/** Hostile control sockets: every captured frame, cut, stretched and changed, on both sides. */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';

import { answerHastctl } from '../../../src/daemon/hastctl-bridge.ts';
import { WireError } from '../../../src/model/errors.ts';
import { FrameReader } from '../../../src/protocol/hast-frame.ts';
import {
  decodeHastctlReply,
  decodeHastctlRequest,
  encodeHastctlReply,
  encodeHastctlRequest,
} from '../../../src/protocol/hastctl.ts';
import { decodeNv } from '../../../src/protocol/nv.ts';
import { nodeStatus } from '../cli/support.ts';
import { vectorBytes, vectorNames } from './hast-vectors.ts';

const MUTATED = 100_000;
const LIMITS = { maxNvBytes: 65536, maxDataBytes: 1 };
const EXTREMES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const HEADER_BYTES = 5;

const seeds = vectorNames('hastctl').flatMap((file) =>
  file.endsWith('.bin') ? [vectorBytes(`hastctl/${file}`)] : [],
);

/** The same numbers in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function mutated(next: (below: number) => number): Buffer {
  const seed = seeds[next(seeds.length)] ?? Buffer.alloc(0);
  let bytes = Buffer.from(seed);
  for (let change = 1 + next(3); change > 0 && bytes.length > HEADER_BYTES; change--) {
    const at = next(bytes.length);
    switch (next(6)) {
      case 0:
        bytes[at] = next(256);
        break;
      case 1:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8));
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes.writeUInt32LE(EXTREMES[next(EXTREMES.length)] ?? 0, Math.min(at, bytes.length - 4));
        break;
      case 4:
        // An entry twice, or in another place.
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(next(at + 1))]);
        break;
      default:
        bytes.copyWithin(next(bytes.length), at);
    }
  }
  // Mostly with a length that fits, so that the change is looked at and not the length.
  if (bytes.length >= HEADER_BYTES && next(8) > 0) bytes.writeUInt32LE(bytes.length - HEADER_BYTES, 1);
  return bytes;
}

type Outcome = 'refused' | 'partial' | 'request' | 'setrole' | 'status' | 'error' | 'hastate';

/** @returns what came out; anything thrown but a WireError is a fault */
function judge(work: () => Outcome): Outcome {
  try {
    return work();
  } catch (error) {
    if (error instanceof WireError) return 'refused';
    throw error;
  }
}

/** expect() is too slow for this many. */
function sameAs(value: unknown, again: unknown): void {
  if (!isDeepStrictEqual(again, value)) expect(again).toEqual(value);
}

/** A value that was read can be said again and is read as the same. */
function readRequest(bytes: Buffer): Outcome {
  const [frame] = new FrameReader(LIMITS).push(bytes);
  if (frame === undefined) return 'partial';
  const request = decodeHastctlRequest(frame.nv);
  const again = decodeHastctlRequest(decodeNv(encodeHastctlRequest(request).subarray(HEADER_BYTES)));
  sameAs(request, again);
  return 'request';
}

function readReply(bytes: Buffer, kind: 'setrole' | 'status'): Outcome {
  const [frame] = new FrameReader(LIMITS).push(bytes);
  if (frame === undefined) return 'partial';
  const reply = decodeHastctlReply(frame.nv, kind);
  const again = decodeHastctlReply(decodeNv(encodeHastctlReply(reply).subarray(HEADER_BYTES)), kind);
  sameAs(reply, again);
  return reply.kind;
}

describe(`${MUTATED} mutated frames of hastctl`, () => {
  it('are valid requests or a WireError', () => {
    const next = numbers(20251);
    const seen = new Map<Outcome, number>();
    for (let n = 0; n < MUTATED; n++) {
      const bytes = mutated(next);
      const outcome = judge(() => readRequest(bytes));
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    // Each door was knocked at often.
    for (const outcome of ['refused', 'partial', 'request'] as const)
      expect(seen.get(outcome)).toBeGreaterThan(MUTATED / 100);
  });

  it('are valid replies or a WireError', () => {
    const next = numbers(20252);
    const seen = new Map<Outcome, number>();
    for (let n = 0; n < MUTATED; n++) {
      const bytes = mutated(next);
      const outcome = judge(() => readReply(bytes, n % 2 === 0 ? 'status' : 'setrole'));
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    for (const outcome of ['refused', 'partial', 'status', 'setrole', 'error'] as const)
      expect(seen.get(outcome)).toBeGreaterThan(MUTATED / 1000);
  });

  it('are answered by the bridge, or end the connection with a WireError', async () => {
    const next = numbers(20253);
    const status = nodeStatus([]);
    const ports = {
      ...{ version: '1', status: () => Promise.resolve(status), role: () => Promise.resolve([]) },
    };
    let answered = 0;
    for (let n = 0; n < MUTATED / 10; n++) {
      const bytes = mutated(next);
      const reply = await answerHastctl(bytes, ports).catch((error: unknown) => {
        if (error instanceof WireError) return null;
        throw error;
      });
      if (reply !== null) answered++;
    }
    expect(answered).toBeGreaterThan(MUTATED / 1000);
  });
});

describe('a captured frame', () => {
  it.each(seeds.map((bytes, index) => [index, bytes] as const))(
    '%i is read the same wherever it is cut, and nothing shorter is taken for it',
    (_index, bytes) => {
      const whole = new FrameReader(LIMITS).push(bytes)[0]?.nv.fields();
      for (let cut = 0; cut < bytes.length; cut++) {
        const reader = new FrameReader(LIMITS);
        expect(reader.push(bytes.subarray(0, cut))).toEqual([]);
        expect(reader.push(bytes.subarray(cut))[0]?.nv.fields()).toEqual(whole);
      }
    },
  );
});
