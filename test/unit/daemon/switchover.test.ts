/** A switchover that is asked on the standby and may have to wait: whoever asked may be gone before it is time. */
import { describe, expect, it } from 'vitest';

import type { Group } from '../../../src/daemon/bind/group.ts';
import type { Runtime } from '../../../src/daemon/runtime.ts';
import { switchAway, takeWhenReady } from '../../../src/daemon/switchover.ts';
import { NetError } from '../../../src/model/errors.ts';

const GROUP = { settings: { name: 'storage' } } as unknown as Group;

/** A primary that is ready after so many looks; time goes on only by waiting. */
class Primary {
  readonly asked: boolean[] = [];
  readonly runtime: Runtime;
  now = 0;

  constructor(readonly readyAfter: number) {
    const after = (ms: number, then: () => void): void => {
      this.now += ms;
      queueMicrotask(then);
    };
    this.runtime = { clock: { now: () => this.now, after } } as unknown as Runtime;
  }

  readonly ask = (_: unknown, { dryRun }: Record<string, unknown>): Promise<unknown> => {
    this.asked.push(dryRun === true);
    const answer = this.asked.length > this.readyAfter ? 'promote' : 'refuse';
    if (dryRun !== true && answer === 'refuse')
      return Promise.reject(new NetError('peer-refused', 'still resyncing'));
    return Promise.resolve({ verdict: { answer }, dryRun });
  };

  take(waitMs: number, signal?: AbortSignal, dryRun = false): Promise<unknown> {
    return takeWhenReady(this.runtime, GROUP, { dryRun, waitMs }, this.ask, signal);
  }
}

describe('a switchover that is asked on the standby', () => {
  it('is ordered once, as soon as the primary says that this node is ready', async () => {
    const primary = new Primary(3);
    expect(await primary.take(10_000)).toMatchObject({ dryRun: false });
    expect(primary.asked).toEqual([true, true, true, true, false]);
  });

  it('is not ordered any more when whoever asked is gone', async () => {
    const primary = new Primary(3);
    const gone = new AbortController();
    const moved = primary.take(10_000, gone.signal);
    gone.abort();
    await expect(moved).rejects.toMatchObject({ code: 'given-up' });
    expect(primary.asked).not.toContain(false);
  });

  it('is refused by the primary when the time is over', async () => {
    const primary = new Primary(1000);
    await expect(primary.take(200)).rejects.toMatchObject({ code: 'peer-refused' });
    expect(primary.now).toBe(200);
  });

  it('that only looks asks once and does not wait', async () => {
    const primary = new Primary(3);
    expect(await primary.take(10_000, undefined, true)).toMatchObject({ verdict: { answer: 'refuse' } });
    expect(primary.asked).toEqual([true]);
  });
});

describe('a switchover whose other node took over', () => {
  /** This node's role when it has waited so long. */
  const moved = (
    roleAfter: (ms: number) => Group['role'],
  ): { order: Promise<unknown>; now: () => number } => {
    let now = 0;
    const after = (ms: number, then: () => void): void => {
      now += ms;
      queueMicrotask(then);
    };
    const peer = { group: () => ({ primary: false, changing: true }) };
    const runtime = { node: 'hasta', clock: { now: () => now, after }, peer } as unknown as Runtime;
    const group = {
      settings: { name: 'storage', hooks: {}, address: null, resources: [] },
      peerReady: () => null,
      demote: () => Promise.resolve(),
      get role() {
        return roleAfter(now);
      },
    } as unknown as Group;
    return { order: switchAway(runtime, group, 'hastb', 'hastb', false), now: () => now };
  };

  it('has failed as soon as the group is back here', async () => {
    const { order, now } = moved((ms) => (ms < 500 ? 'secondary' : 'primary'));
    await expect(order).rejects.toThrow(/hastb took over, could not serve and gave it back/);
    expect(now()).toBe(500);
  });

  it('has failed when it serves nowhere for a minute', async () => {
    const { order } = moved(() => 'secondary');
    await expect(order).rejects.toThrow(/hastb took over and does not serve yet/);
  });
});
