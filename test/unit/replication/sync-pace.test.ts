import { describe, expect, it } from 'vitest';
import { RateLimit, SyncSpeed, timeFor } from '../../../src/replication/sync-pace.ts';

describe('the limit of a resync', () => {
  it.each([null, 0])('of %s lets everything pass at once', (limit) => {
    const pace = new RateLimit(limit);
    pace.spend(1e12, 0);
    expect(pace.waitMs(0)).toBe(0);
  });

  it('lets no more pass than it says, however long the pieces took', () => {
    const pace = new RateLimit(1_000_000);
    let now = 0;
    let passed = 0;
    while (now < 10_000) {
      now += pace.waitMs(now) + (passed % 3);
      pace.spend(10_000, now);
      passed += 10_000;
    }
    expect(passed).toBeGreaterThan(9_900_000);
    expect(passed).toBeLessThanOrEqual(10_200_000);
  });

  it.each([
    [null, 524_288],
    [100_000_000, 524_288],
    [4_000_000, 196_608],
    [1000, 65_536],
  ])('of %s bytes per second has pieces of %i bytes', (limit, expected) => {
    expect(new RateLimit(limit).piece(524_288, 65_536)).toBe(expected);
  });

  it('does not make up for a long pause', () => {
    const pace = new RateLimit(1_000_000);
    pace.spend(10_000, 0);
    let burst = 0;
    while (pace.waitMs(60_000) === 0) {
      pace.spend(10_000, 60_000);
      burst += 10_000;
    }
    expect(burst).toBeLessThanOrEqual(110_000);
  });
});

describe('the speed of a resync', () => {
  it('is that of the last seconds, not of the whole', () => {
    const speed = new SyncSpeed();
    speed.start(0);
    let bytes = 0;
    for (let now = 0; now <= 60_000; now += 100) {
      bytes += now <= 30_000 ? 100_000 : 10_000;
      speed.note(bytes, now);
    }
    expect(speed.rate(bytes, 60_000)).toBeCloseTo(100_000, -4);
  });

  it('falls when nothing is copied any more', () => {
    const speed = new SyncSpeed();
    speed.start(0);
    speed.note(1_000_000, 1000);
    expect(speed.rate(1_000_000, 1000)).toBe(1_000_000);
    expect(speed.rate(1_000_000, 10_000)).toBe(100_000);
  });

  it.each([
    [0, 0, 0],
    [1000, 0, null],
    [1000, 500, 2000],
  ])('%i bytes at %i bytes/s take %s ms', (bytes, rate, ms) => {
    expect(timeFor(bytes, rate)).toBe(ms);
  });
});
