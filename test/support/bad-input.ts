/**
 * Hostile input for codecs, the same in every run: a decoder must give a value or a WireError for all of it,
 * and never ask for more memory than it may.
 */
import { Buffer } from 'node:buffer';
import { WireError } from '../../src/model/errors.ts';

export interface Codec {
  readonly name: string;
  /** Good input, best captured. */
  readonly samples: readonly Buffer[];
  /** Reads everything there is in the input. May return anything. */
  readonly decode: (input: Buffer) => unknown;
  /** The largest buffer that decoding may make. Bytes */
  readonly maxBuffer: number;
}

export interface Tally {
  inputs: number;
  valid: number;
  refused: number;
  /** Codes of the refusals. */
  readonly codes: Set<string>;
  largestBuffer: number;
}

/** xorshift32 */
export function chance(seed: number): (below: number) => number {
  let state = (Math.imul(seed + 1, 2654435761) ^ 0x5bd1e995) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff];
const WIDTHS = [1, 2, 4, 8];

/** Every prefix of each sample; every byte of each sample, alone and in words, at its extremes. */
export function* systematic(samples: readonly Buffer[]): Generator<Buffer> {
  for (const sample of samples) {
    for (let length = 0; length < sample.length; length++) yield sample.subarray(0, length);
    for (let at = 0; at < sample.length; at++) {
      for (const width of WIDTHS) {
        if (at + width > sample.length) continue;
        for (const value of EXTREMES) {
          const changed = Buffer.from(sample);
          changed.fill(value & 0x01 ? value : 0, at, at + width);
          // Big-endian and little-endian 0x80, 0x01 and 0x7fff...: only one end differs.
          if (value !== 0xff && value !== 0) changed[at] = value;
          yield changed;
        }
      }
    }
  }
}

/** `count` inputs made of the samples by few random changes. */
export function* mutants(samples: readonly Buffer[], count: number, seed: number): Generator<Buffer> {
  const below = chance(seed);
  for (let i = 0; i < count; i++) {
    const sample = samples[below(samples.length)] ?? Buffer.alloc(0);
    let bytes: Buffer = Buffer.from(sample);
    for (let edits = 1 + below(4); edits > 0; edits--) bytes = edit(bytes, samples, below);
    yield bytes;
  }
}

function edit(bytes: Buffer, samples: readonly Buffer[], below: (n: number) => number): Buffer {
  const at = below(bytes.length + 1);
  switch (below(8)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([below(256)]), bytes.subarray(at)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(8))]);
    case 3: {
      const other = samples[below(samples.length)] ?? bytes;
      return Buffer.concat([bytes.subarray(0, at), other.subarray(below(other.length + 1))]).subarray(
        0,
        16384,
      );
    }
    case 4: {
      const value = EXTREMES[below(EXTREMES.length)] ?? 0;
      bytes.fill(value, at, Math.min(bytes.length, at + (WIDTHS[below(WIDTHS.length)] ?? 1)));
      return bytes;
    }
    case 5:
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
      return bytes;
    default:
      if (at < bytes.length) bytes[at] = below(256);
      return bytes;
  }
}

/** Runs a codec over all of it. @throws what is neither a value nor a WireError, with the input in its message */
export function feed(codec: Codec, inputs: Iterable<Buffer>): Tally {
  const tally: Tally = { inputs: 0, valid: 0, refused: 0, codes: new Set(), largestBuffer: 0 };
  const watch = watchBuffers();
  // Most inputs end in an error of which only the code is looked at; its stack would cost more than decoding.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    for (const input of inputs) {
      tally.inputs++;
      watch.largest = 0;
      try {
        codec.decode(input);
        tally.valid++;
      } catch (error) {
        if (!(error instanceof WireError))
          throw new Error(`${codec.name} failed on ${input.toString('hex')}`, { cause: error });
        tally.refused++;
        tally.codes.add(error.code);
      }
      if (watch.largest > codec.maxBuffer)
        throw new Error(`${codec.name} made a buffer of ${watch.largest} for ${input.toString('hex')}`);
      tally.largestBuffer = Math.max(tally.largestBuffer, watch.largest);
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    watch.end();
  }
  return tally;
}

const MAKERS = ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const;

/** The sizes that are asked for while this is on. */
function watchBuffers(): { largest: number; end(): void } {
  const originals = MAKERS.map((name): [string, unknown] => [name, Reflect.get(Buffer, name)]);
  const watch = {
    largest: 0,
    end: () => {
      for (const [name, original] of originals) Reflect.set(Buffer, name, original);
    },
  };
  for (const name of MAKERS) {
    const make = Buffer[name].bind(Buffer);
    Reflect.set(Buffer, name, (size: number, ...rest: []): Buffer => {
      watch.largest = Math.max(watch.largest, size);
      return make(size, ...rest);
    });
  }
  return watch;
}
