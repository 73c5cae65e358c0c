import { readdirSync, readlinkSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { watchClaims } from '../../../src/net/claim-watch.ts';
import { sendFrames } from '../../../src/net/packet-socket.ts';
import { eventually } from '../../support/stamped-clients.ts';
import { needs } from '../../support/needs.ts';

/** Closing a packet socket takes the kernel 10 ms at least. */
const AT_ONCE_MS = 4;
const FRAME = Buffer.alloc(60, 0xff);

/** The shortest of some: a busy machine makes any of them long. ms */
function shortest(work: () => void): number {
  const took = Array.from({ length: 8 }, () => {
    const began = performance.now();
    work();
    return performance.now() - began;
  });
  return Math.min(...took);
}

function sockets(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}

describe.skipIf(needs('root', 'koffi'))('a packet socket', () => {
  it('sends frames without keeping the event loop', () => {
    expect(shortest(() => sendFrames('lo', [FRAME]))).toBeLessThan(AT_ONCE_MS);
  });

  it('that heard claims is closed without keeping the event loop, and is gone soon', async () => {
    const before = sockets();
    const watches = Array.from({ length: 8 }, () =>
      watchClaims('lo', ['10.0.0.1', 'fd00::1'], () => undefined),
    );
    expect(sockets()).toBeGreaterThanOrEqual(before + 16);
    expect(shortest(() => watches.pop()?.close())).toBeLessThan(AT_ONCE_MS);
    await eventually('closed', () => sockets() <= before);
  });
});
