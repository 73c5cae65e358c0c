import { describe, expect, it } from 'vitest';

import {
  type FailbackLook,
  type FailbackState,
  failbackWaitMs,
  lookAtFailback,
  NO_FAILBACK,
} from '../../../src/model/failback.ts';

const SYNCED = { failback: 'when-synced', failbackDelayMs: 1000 } as const;
const look = (now: number, possible: boolean): FailbackLook => ({
  ...{ now, serving: true, busy: false },
  stays: possible ? null : 'disk1: hasta is still resyncing',
});
const AT_ONCE = { failback: 'auto', failbackDelayMs: 0 } as const;

/** Looks at each time; true stands for possible. @returns times of moves */
function moves(
  settings: Parameters<typeof lookAtFailback>[0],
  looks: readonly (readonly [number, boolean])[],
): number[] {
  let state: FailbackState = NO_FAILBACK;
  return looks.flatMap(([now, possible]) => {
    const looked = lookAtFailback(settings, state, look(now, possible));
    ({ state } = looked);
    return looked.move ? [now] : [];
  });
}

describe('a group that is not where it is preferred', () => {
  it('goes back when the preferred node has been ready without interruption for the delay', () => {
    expect(
      moves(SYNCED, [
        [0, true],
        [999, true],
        [1000, true],
      ]),
    ).toEqual([1000]);
    expect(
      moves(SYNCED, [
        [0, true],
        [900, false],
        [950, true],
        [1900, true],
        [1950, true],
      ]),
    ).toEqual([1950]);
  });

  it('goes back at once where that is wanted, and never where it is not', () => {
    expect(
      moves(AT_ONCE, [
        [0, false],
        [10, true],
      ]),
    ).toEqual([10]);
    expect(
      moves({ ...AT_ONCE, failback: 'never' }, [
        [0, true],
        [99_999, true],
      ]),
    ).toEqual([]);
  });

  it('that comes back again soon after it moved goes back later each time, up to an hour', () => {
    let state: FailbackState = NO_FAILBACK;
    const waited: number[] = [];
    let now = 0;
    for (let times = 0; times < 9; times++) {
      const since = now;
      for (let move = false; !move; now += 1000)
        ({ state, move } = lookAtFailback(AT_ONCE, state, look(now, true)));
      waited.push(now - 1000 - since);
      now += 60_000;
    }
    expect(waited).toEqual([0, 60, 120, 240, 480, 960, 1920, 3600, 3600].map((s) => s * 1000));
  });

  it('that does not serve here, or whose node may not have it, stays', () => {
    for (const change of [{ serving: false }, { stays: 'policy manual leaves it to a person' }])
      expect(lookAtFailback(AT_ONCE, NO_FAILBACK, { ...look(0, true), ...change }).move).toBe(false);
  });

  it('waits for its turn without losing the time that it has waited', () => {
    const { state } = lookAtFailback(SYNCED, NO_FAILBACK, look(0, true));
    const busy = lookAtFailback(SYNCED, state, { ...look(5000, true), busy: true });
    expect(busy.move).toBe(false);
    expect(lookAtFailback(SYNCED, busy.state, look(5001, true)).move).toBe(true);
  });

  it('counts a return as soon as it serves here again, long before the other node is ready', () => {
    const moved = lookAtFailback(AT_ONCE, NO_FAILBACK, look(0, true));
    expect(moved.move).toBe(true);
    const back = lookAtFailback(AT_ONCE, moved.state, look(120_000, false)).state;
    expect(back.bounced).toBe(1);
    expect(lookAtFailback(AT_ONCE, back, look(1_200_000, true)).move).toBe(false);
  });

  it('flickering readiness does not count as another return', () => {
    const bounced: FailbackState = { since: null, lastMoveAt: 0, returned: false, bounced: 0 };
    const once = lookAtFailback(SYNCED, bounced, look(1000, true)).state;
    const gone = lookAtFailback(SYNCED, once, look(1100, false)).state;
    const again = lookAtFailback(SYNCED, gone, look(1200, true)).state;
    expect([once.bounced, again.bounced]).toEqual([1, 1]);
  });

  it('is forgiven when it lasted', () => {
    const state: FailbackState = { since: null, lastMoveAt: 0, returned: false, bounced: 5 };
    const looked = lookAtFailback(AT_ONCE, state, look(600_000, true));
    expect([looked.move, failbackWaitMs(AT_ONCE, looked.state)]).toEqual([true, 0]);
  });
});
