import { describe, expect, it } from 'vitest';

import { createAdvertGate } from '../../../src/net/advert-gate.ts';

const admitted = (
  gate: ReturnType<typeof createAdvertGate>,
  times: number,
  from: (n: number) => string,
  at = 0,
) => Array.from({ length: times }, (_, n) => gate.admit(from(n), at)).filter(Boolean).length;

describe('the gate in front of the adverts', () => {
  it('lets a sender say a thousand at once and a thousand a second, and holds the rest back', () => {
    const gate = createAdvertGate();
    expect(admitted(gate, 5000, () => '10.0.0.9')).toBe(1000);
    expect(admitted(gate, 5000, () => '10.0.0.9', 500)).toBe(500);
  });

  it('lets everything through that comes from whom a valid advert came, for a minute', () => {
    const gate = createAdvertGate();
    gate.vouch('10.0.0.2', 0);
    expect(admitted(gate, 50_000, () => '10.0.0.2')).toBe(50_000);
    expect(admitted(gate, 5000, () => '10.0.0.2', 60_001)).toBe(1000);
  });

  it('is not emptied for a known peer by strangers, however many they say they are', () => {
    const gate = createAdvertGate();
    gate.vouch('10.0.0.2', 0);
    expect(admitted(gate, 100_000, (n) => `10.66.${n >> 8}.${n & 255}`)).toBeLessThanOrEqual(5000);
    expect(gate.admit('10.0.0.2', 1)).toBe(true);
  });

  it('forgets whom it vouched for first when there are more than it keeps', () => {
    const gate = createAdvertGate();
    for (let n = 0; n < 300; n += 1) gate.vouch(`10.0.1.${n}`, 0);
    expect(admitted(gate, 2000, () => '10.0.1.0')).toBe(1000);
    expect(admitted(gate, 2000, () => '10.0.1.299')).toBe(2000);
  });
});
