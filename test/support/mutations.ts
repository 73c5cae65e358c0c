/** Hostile packets from a seed: bits flipped, bytes cut, added, repeated, swapped between samples. */

/** Same seed, same sequence of whole numbers below `bound`. */
export function seeded(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    const mixed = Math.imul(state ^ (state >>> 12), 0x297a2d39) >>> 0;
    return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32) * bound);
  };
}

/**
 * Visits `count` mutations of the samples.
 * @param mend makes the mutation pass a first check, e.g. by a right checksum; done to every second one
 */
export function eachMutation(
  samples: readonly Buffer[],
  options: { readonly seed: number; readonly count: number; readonly mend: (packet: Buffer) => void },
  visit: (packet: Buffer, sample: Buffer) => void,
): void {
  const random = seeded(options.seed);
  for (let n = 0; n < options.count; n += 1) {
    const sample = samples[random(samples.length)] ?? Buffer.alloc(0);
    let packet = Buffer.from(sample);
    for (let changes = 1 + random(3); changes > 0; changes -= 1) packet = mutate(packet, samples, random);
    if (n % 2 === 1) options.mend(packet);
    visit(packet, sample);
  }
}

function mutate(
  packet: Buffer<ArrayBuffer>,
  samples: readonly Buffer[],
  random: (bound: number) => number,
): Buffer<ArrayBuffer> {
  const at = random(packet.length || 1);
  switch (random(8)) {
    case 0:
      return Buffer.from(packet.subarray(0, at));
    case 1:
      return Buffer.concat([packet, Buffer.alloc(1 + random(24), random(256))]);
    case 2:
      return Buffer.concat([
        packet.subarray(0, at),
        (samples[random(samples.length)] ?? Buffer.alloc(0)).subarray(at),
      ]);
    default: {
      const copy = Buffer.from(packet);
      if (at < copy.length) copy[at] = random(2) === 0 ? random(256) : (copy[at] ?? 0) ^ (1 << random(8));
      return copy;
    }
  }
}
