import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { AdvertiserEvent } from '../../machines/advertiser.ts';
import { segment } from '../support/advertisers.ts';
import type { Advertiser, Segment } from '../support/advertisers.ts';

function pair(skews: readonly [number, number], input: Parameters<Segment['add']>[1] = {}) {
  const lan = segment();
  const [first, second] = skews.map((advskew, index) => {
    const node = lan.add(`10.0.0.${index + 1}`, { advskew, ...input });
    node.autoPromote = true;
    node.send({ type: 'ADMIN.START' });
    return node;
  });
  if (first === undefined || second === undefined) throw new Error('two skews, two nodes');
  return { lan, first, second };
}
const isMaster = (node: Advertiser): boolean => node.where().startsWith('MASTER');
const owners = (lan: Segment): string[] => lan.nodes.filter((node) => node.addressUp).map(({ name }) => name);

describe('two advertisers on one segment', () => {
  it('elect the better one from a cold start and stay so', async () => {
    const { lan, first, second } = pair([0, 100]);
    await lan.pass(12_000);
    expect(owners(lan)).toEqual([first.name]);
    expect(second.effects).toEqual(['INIT -> BACKUP: started']);
  });

  it('hand over within the bow-out when the MASTER stops', async () => {
    const { lan, first, second } = pair([0, 100]);
    await lan.pass(4000);
    first.send({ type: 'ADMIN.STOP' });
    await lan.pass(30);
    expect(owners(lan)).toEqual([second.name]);
  });

  it('hand over within the down interval when the MASTER dies', async () => {
    const { lan, first, second } = pair([0, 128]);
    await lan.pass(4000);
    first.deaf = true;
    await lan.pass(3500);
    expect(isMaster(second)).toBe(true);
  });

  it('do not fail back without preempt, and do with it', async () => {
    for (const preempt of [false, true]) {
      const { lan, first, second } = pair([0, 100], { preempt });
      await lan.pass(4000);
      first.send({ type: 'ADMIN.STOP' });
      await lan.pass(1000);
      first.send({ type: 'ADMIN.START' });
      await lan.pass(6000);
      expect(owners(lan)).toEqual([preempt ? first.name : second.name]);
    }
  });

  it('agree again after a partition, the slower one letting go', async () => {
    const { lan, first, second } = pair([0, 100]);
    await lan.pass(4000);
    second.deaf = true;
    await lan.pass(5000);
    expect(owners(lan)).toEqual([first.name, second.name]);
    second.deaf = false;
    await lan.pass(1100);
    expect(owners(lan)).toEqual([first.name]);
  });

  it.each(['bsd', 'ucarp'] as const)('settle on one MASTER in %s mode when they are equal', async (mode) => {
    const { lan } = pair([10, 10], { mode });
    await lan.pass(20_000);
    expect(lan.nodes.filter(isMaster)).toHaveLength(1);
    expect(owners(lan)).toHaveLength(1);
  });

  it('move the address when the MASTER demotes itself and the other preempts', async () => {
    const { lan, first, second } = pair([0, 100], { preempt: true });
    await lan.pass(4000);
    first.send({ type: 'DEMOTE', by: 'track:disk', amount: 200 });
    await lan.pass(50);
    expect(owners(lan)).toEqual([second.name]);
    first.send({ type: 'DEMOTE', by: 'track:disk', amount: 0 });
    await lan.pass(3000);
    expect(owners(lan)).toEqual([first.name]);
  });

  it('leave the address with nobody while neither group can follow', async () => {
    const { lan, first } = pair([0, 100], { eligible: false });
    await lan.pass(10_000);
    expect(owners(lan)).toEqual([]);
    first.send({ type: 'GROUP.ELIGIBLE' });
    await lan.pass(5);
    expect(owners(lan)).toEqual([first.name]);
  });
});

describe('an advertiser under any sequence of events', () => {
  const events = fc.oneof(
    fc.constantFrom<AdvertiserEvent>(
      { type: 'ADMIN.START' },
      { type: 'ADMIN.STOP' },
      { type: 'LINK.UP' },
      { type: 'LINK.DOWN' },
      { type: 'GROUP.PROMOTED' },
      { type: 'GROUP.DEMOTING', rival: false },
      { type: 'GROUP.DEMOTING', rival: true },
      { type: 'GROUP.RELEASED' },
      { type: 'GROUP.DEMOTED', reason: 'test' },
      { type: 'GROUP.HOLD' },
      { type: 'GROUP.ELIGIBLE' },
      { type: 'TX.OK' },
      { type: 'TX.ERROR', error: 'ENETDOWN' },
      { type: 'LOOP.STALL', ms: 5000 },
      { type: 'DEMOTE', by: 'admin', amount: 10 },
      { type: 'FAULT', by: 'test' },
      { type: 'FAULT.OVER', by: 'test' },
      { type: 'SYNC.LEAD' },
      { type: 'SYNC.YIELD', reason: 'test' },
      { type: 'HOLD.CLEAR' },
      { type: 'CONFIGURE', settings: { preempt: true } },
      { type: 'ADDRESSES' },
    ),
    fc.tuple(fc.constantFrom(0, 50, 100, 255), fc.nat(100_000)).map(([priority, at]): AdvertiserEvent => ({
      type: 'RX',
      says: { protocol: 'vrrp', priority, intervalMs: 1000 },
      source: '10.0.0.9',
      at,
    })),
    fc
      .tuple(fc.constantFrom(0, 1, 255), fc.constantFrom(0, 5, 255), fc.nat(100_000))
      .map(([advbase, advskew, at]): AdvertiserEvent => ({
        type: 'RX',
        says: { protocol: 'carp', advbase, advskew, demote: 0 },
        source: '10.0.0.9',
        at,
      })),
  );
  const steps = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: events },
      { weight: 1, arbitrary: fc.constantFrom('fail add', 'fail remove') },
      { weight: 2, arbitrary: fc.constantFrom(20, 1000, 4000) },
    ),
    { minLength: 5, maxLength: 40 },
  );

  it('never shows the address without its group, leads only when allowed, and always lets go', async () => {
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.boolean(),
        fc.constantFrom(0, 100, 255),
        async (script, preempt, priority) => {
          const lan = segment();
          const node = lan.add('10.0.0.1', {
            advskew: 5,
            preempt,
            flapBudget: 2,
            ...(priority === 0 ? {} : { vrrp: { priority } }),
          });
          const check = (): void => {
            const { context } = node.actor.getSnapshot();
            const where = node.where();
            expect(JSON.parse(JSON.stringify(context))).toEqual(context);
            if (where.includes('raising') || where.includes('serving')) expect(context.holdsGroup).toBe(true);
            if (/^(INIT|BACKUP)/.test(where)) expect(node.addressUp).toBe(false);
            if (where.includes('wanted')) expect(context.eligible || context.holdsGroup).toBe(true);
            expect(context.carp).toBe(
              where.startsWith('LEAVING') ? 'MASTER' : where.replace(/\..*/, '').replace(/\+.*/, ''),
            );
          };
          node.send({ type: 'ADMIN.START' });
          for (const step of script) {
            if (step === 'fail add') node.next.add = () => Promise.reject(new Error('add'));
            else if (step === 'fail remove') node.next.remove = () => Promise.reject(new Error('remove'));
            else if (typeof step === 'number') {
              lan.clock.increment(step);
              await lan.settle();
            } else if (typeof step === 'object') node.send(step);
            check();
          }
          node.send({ type: 'ADMIN.STOP' });
          await lan.pass(3100);
          expect(node.where()).toBe('INIT');
          expect(node.addressUp).toBe(false);
        },
      ),
      { numRuns: 100 },
    );
  });
});
