import { describe, expect, it } from 'vitest';
import { decodeNv, encodeNv } from '../../../src/protocol/nv.ts';
import { MAX_REQUEST_BYTES, MAXPHYS } from '../../../src/replication/core.ts';
import { readWords } from '../../../src/replication/heartbeat.ts';

const said = (maxreq: number | null): number | undefined =>
  readWords(
    decodeNv(
      encodeNv([
        { name: 'hastate', type: 'uint8', value: 1 },
        ...(maxreq === null ? [] : [{ name: 'maxreq', type: 'uint32', value: maxreq } as const]),
      ]),
    ),
  )?.maxRequest;

describe('the largest request of two hastate nodes', () => {
  it.each([
    ['nothing', null, MAXPHYS],
    ['less than every hastd takes', 512, MAXPHYS],
    ['less than this node takes', 2 * MAXPHYS, 2 * MAXPHYS],
    ['what sectors do not divide', 2 * MAXPHYS + 1, 2 * MAXPHYS],
    ['what this node takes', MAX_REQUEST_BYTES, MAX_REQUEST_BYTES],
    ['more than this node takes', 0xffff_ffff, MAX_REQUEST_BYTES],
  ])('when the peer says %s', (_, maxreq, expected) => expect(said(maxreq)).toBe(expected));
});
