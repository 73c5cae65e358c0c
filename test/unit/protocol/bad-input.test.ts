/** Every codec gives a value or a WireError for whatever it is given, and asks for bounded memory. */
import { describe, expect, test } from 'vitest';
import { FrameReader } from '../../../src/protocol/hast-frame.ts';
import { feed, mutants, systematic } from '../../support/bad-input.ts';
import { CODECS } from './codecs.ts';

const MUTANTS = 100_000;
/** A few seconds each, many times that on a machine that does ten other things. */
const LONG = { timeout: 120_000 };

/** As many as have this many bytes together: each byte is changed in twenty ways. */
function some(samples: readonly Buffer[], bytes = 2500): Buffer[] {
  let left = bytes;
  return samples.filter((sample, index) => (left -= sample.length) > 0 || index === 0);
}

describe.each(CODECS.map((codec) => [codec.name, codec] as const))('%s', LONG, (_, codec) => {
  test('takes its samples whole', () => {
    expect(codec.samples.length).toBeGreaterThan(0);
    expect(feed(codec, codec.samples)).toMatchObject({ valid: codec.samples.length, refused: 0 });
  });

  test('cut at every byte, and with every byte and word at its extremes: a value or a typed error', () => {
    const { inputs, valid, refused } = feed(codec, systematic(some(codec.samples)));
    expect(valid + refused).toBe(inputs);
    expect(refused).toBeGreaterThan(0);
  });

  test(`changed in ${MUTANTS.toLocaleString('en')} ways: a value or a typed error`, () => {
    const { inputs, refused } = feed(codec, mutants(codec.samples, MUTANTS, 1));
    expect(inputs).toBe(MUTANTS);
    expect(refused).toBeGreaterThan(0);
  });
});

describe('a stream of frames', () => {
  const streams = CODECS.find((codec) => codec.name === 'frames')?.samples ?? [];
  const frames = (pieces: readonly Buffer[]): unknown[] => {
    const reader = new FrameReader({ maxNvBytes: 65536, maxDataBytes: 131072 });
    return pieces.flatMap((piece) =>
      reader.push(piece).map(({ nv, data }) => [nv.fields(), data === null ? null : Buffer.from(data)]),
    );
  };

  test('is the same wherever it is split', () => {
    for (const stream of streams.slice(0, 8)) {
      const whole = frames([stream]);
      for (let at = 0; at <= stream.length; at++)
        expect(frames([stream.subarray(0, at), stream.subarray(at)])).toEqual(whole);
    }
  });
});
