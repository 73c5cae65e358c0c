import { expect, it } from 'vitest';

import { SyslogQueue } from '../../../../src/daemon/logging/syslog-queue.ts';

function queueTo(send: (line: string) => Promise<void>, maxBytes = 1000) {
  const troubles: (string | null)[] = [];
  const queue = new SyslogQueue({
    transport: { target: 'nowhere', send, close: () => undefined },
    lostLine: (count) => `lost ${count}`,
    onTrouble: (reason) => troubles.push(reason),
    maxBytes,
    retryMs: [1, 2],
  });
  return { queue, troubles };
}

it('keeps no more than its bound while nobody takes lines, the newest of them, and tells how many are gone', async () => {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  let isOpen = false;
  const taken: string[] = [];
  const { queue, troubles } = queueTo((line) => {
    if (!isOpen) return Promise.reject(new Error('ENOENT'));
    taken.push(line);
    if (line === 'line 4999') open();
    return Promise.resolve();
  });
  for (let i = 0; i < 5000; i++) queue.add(`line ${String(i).padStart(4, '0')}`);
  isOpen = true;
  await opened;
  // 9 bytes each: 111 fit into 1000.
  expect(taken).toHaveLength(112);
  expect(taken[0]).toBe('lost 4889');
  expect(taken.slice(1)).toEqual(Array.from({ length: 111 }, (_, i) => `line ${4889 + i}`));
  await queue.close(1000);
  expect(troubles).toEqual(['ENOENT', null]);
});

it('says the same trouble once', async () => {
  let attempts = 0;
  let enough: () => void = () => undefined;
  const tried = new Promise<void>((resolve) => (enough = resolve));
  const { queue, troubles } = queueTo(() => {
    attempts += 1;
    if (attempts === 5) enough();
    return Promise.reject(new Error('ECONNREFUSED'));
  });
  queue.add('x');
  await tried;
  await queue.close(0);
  expect(troubles).toEqual(['ECONNREFUSED']);
});

it('closes within its time although a line is under way for ever', async () => {
  const { queue } = queueTo(() => new Promise(() => undefined));
  queue.add('x');
  const began = performance.now();
  await queue.close(50);
  expect(performance.now() - began).toBeLessThan(5000);
});

it('delivers on close what was still waiting', async () => {
  const taken: string[] = [];
  const { queue } = queueTo((line) => {
    taken.push(line);
    return Promise.resolve();
  });
  for (const line of ['a', 'b', 'c']) queue.add(line);
  await queue.close(1000);
  expect(taken).toEqual(['a', 'b', 'c']);
});
