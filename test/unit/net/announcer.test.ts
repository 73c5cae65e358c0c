import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { byCarrier, createAnnouncer } from '../../../src/net/announcer.ts';
import type { AnnounceTimes, Announcer } from '../../../src/net/announcer.ts';

const addressesOn = byCarrier(['10.0.0.1/24', '10.0.0.2/24', 'fd00::1/64'], 'eth0', (cidr, iface) =>
  cidr.includes(':') ? `${iface}v6` : iface,
);
const said: string[] = [];
const lines: string[] = [];
let failing = false;

function announcer(times?: AnnounceTimes): Announcer {
  return createAnnouncer({
    addressesOn,
    ...(times === undefined ? {} : { times }),
    log: (_level, message) => lines.push(message),
    announce: (iface, addresses) => {
      said.push(`${iface} ${addresses.join(' ')}`);
      return failing ? Promise.reject(new Error('no frame leaves')) : Promise.resolve('frames');
    },
  });
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  said.splice(0);
  lines.splice(0);
  failing = false;
});

const BOTH = ['eth0 10.0.0.1/24 10.0.0.2/24', 'eth0v6 fd00::1/64'];

describe('an announcer', () => {
  it('announces at once, each address where it answers', () => {
    announcer().announce();
    expect(said).toEqual(BOTH);
  });

  it('announces five times a second apart and then every minute', async () => {
    announcer().announce();
    await vi.advanceTimersByTimeAsync(4000);
    expect(said).toHaveLength(2 * 5);
    await vi.advanceTimersByTimeAsync(59_999);
    expect(said).toHaveLength(2 * 5);
    await vi.advanceTimersByTimeAsync(1 + 60_000);
    expect(said).toHaveLength(2 * 7);
  });

  it('begins its series anew when asked again, and never runs two', async () => {
    const announces = announcer({ times: 3, everyMs: 100, refreshMs: null });
    announces.announce();
    await vi.advanceTimersByTimeAsync(150);
    announces.announce();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(said).toHaveLength(2 * (2 + 3));
  });

  it('says nothing any more once it was stopped', async () => {
    const announces = announcer();
    announces.announce();
    announces.stop();
    await vi.advanceTimersByTimeAsync(100_000);
    expect(said).toEqual(BOTH);
  });

  it('goes on when announcing fails, and tells it once', async () => {
    failing = true;
    announcer().announce();
    await vi.advanceTimersByTimeAsync(4000);
    expect(said).toHaveLength(2 * 5);
    expect(lines).toEqual(['announcing 10.0.0.1/24, 10.0.0.2/24 failed: no frame leaves']);
  });
});
