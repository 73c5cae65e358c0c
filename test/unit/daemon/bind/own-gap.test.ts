import { beforeEach, describe, expect, it } from 'vitest';

import type { Member } from '../../../../src/daemon/bind/members.ts';
import { OwnGap } from '../../../../src/daemon/bind/own-gap.ts';
import { LeaseMemory } from '../../../../src/daemon/engine/lease-memory.ts';
import type { Runtime } from '../../../../src/daemon/runtime.ts';
import { DEFAULT_TIMING } from '../../../../src/model/timing.ts';

let now: number;
let runtime: Runtime;
let member: Member;
let gap: OwnGap;

beforeEach(() => {
  now = 10_000;
  runtime = {
    clock: { now: () => now },
    settings: { timing: DEFAULT_TIMING },
    wake: { since: 0 },
    log: () => undefined,
  } as unknown as Runtime;
  member = { snapshot: { role: 'secondary' }, lease: new LeaseMemory(), doubt: null } as unknown as Member;
  gap = new OwnGap(runtime);
  member.lease.heard('peerChannel', now);
  member.lease.renew(now);
});

/** One tick, with the peer heard and hearing us unless told otherwise. */
function tick(ms: number, peer: 'talks' | 'is deaf' | 'is silent' = 'talks', cutOff = false): void {
  now += ms;
  gap.look([member], cutOff);
  if (peer !== 'is silent') member.lease.heard('peerChannel', now);
  if (peer === 'talks') member.lease.renew(now);
}

describe('a standby', () => {
  it('trusts its copy as long as it runs and is heard', () => {
    for (let turn = 0; turn < 100; turn += 1) tick(25);
    expect(member.doubt).toBeNull();
    expect(runtime.wake.since).toBe(0);
  });

  it('does not count silence from a pause of its own as the peer’s', () => {
    tick(300);
    expect(runtime.wake.since).toBe(now);
    expect(member.doubt).toBeNull();
  });

  it('doubts its copy after it stood still so long that the peer may have gone on alone', () => {
    tick(3000);
    expect(member.doubt?.why).toContain('stood still for 3000 ms');
  });

  it('doubts its copy when the peer speaks and does not hear it', () => {
    for (let turn = 0; turn < 30; turn += 1) tick(25, 'is deaf');
    expect(member.doubt?.why).toContain('did not hear this node');
  });

  it('keeps trusting its copy when the peer just dies', () => {
    for (let turn = 0; turn < 200; turn += 1) tick(25, 'is silent');
    expect(member.doubt).toBeNull();
  });

  it('doubts its copy when it waits cut off from its references as well', () => {
    for (let turn = 0; turn < 40; turn += 1) tick(25, 'is silent', true);
    expect(member.doubt?.why).toContain('was cut off');
  });
});

it('leaves a primary alone: its lease and hold are the engine’s business', () => {
  member.snapshot = { role: 'primary' } as Member['snapshot'];
  tick(3000);
  expect(member.doubt).toBeNull();
});
