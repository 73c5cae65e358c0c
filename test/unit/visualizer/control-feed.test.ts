import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { controlFeed } from '../../../src/visualizer/control-feed.ts';
import type { FeedMessage, NodeFeed } from '../../../src/visualizer/feed.ts';
import type { FakeNode } from '../../e2e/page-nodes.ts';
import { fakeNode, nodeStatus } from '../../e2e/page-nodes.ts';

describe('a feed from a control socket', () => {
  let directory: string;
  let path: string;
  let node: FakeNode | null;
  let feed: NodeFeed;
  let heard: FeedMessage[];
  let end: () => void;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-feed-'));
    path = join(directory, 'control.sock');
    node = await fakeNode(path, nodeStatus('hasta', 'hastb'));
    feed = controlFeed('hasta', path);
    heard = [];
    end = feed.subscribe((message) => heard.push(message));
  });

  afterEach(async () => {
    end();
    await node?.close();
    await rm(directory, { recursive: true, force: true });
  });

  const kinds = (): string[] => heard.map(({ kind }) => kind);
  const messages = (): string[] =>
    heard.flatMap((message) => (message.kind === 'event' ? [message.event.message] : []));

  it('tells the status again and again and what is added to the journal', async () => {
    await expect.poll(() => kinds().filter((kind) => kind === 'status').length).toBeGreaterThan(1);
    node?.log({ kind: 'k', message: 'hello' });
    await expect.poll(messages).toEqual(['hello']);
    expect([feed.reachable(), feed.status()?.node]).toEqual([true, 'hasta']);
  });

  it('keeps the last state of a killed node, and does not repeat its journal when it answers again', async () => {
    node?.log({ kind: 'k', message: 'before' });
    await expect.poll(messages).toEqual(['before']);
    await node?.close();
    await expect.poll(kinds).toContain('unreachable');
    expect([feed.reachable(), feed.status()?.node]).toEqual([false, 'hasta']);
    node = await fakeNode(path, nodeStatus('hasta', 'hastb'));
    node.log({ kind: 'k', message: 'before' });
    node.log({ kind: 'k', message: 'after' });
    await expect.poll(messages).toEqual(['before', 'after']);
    expect(kinds().filter((kind) => kind === 'unreachable')).toHaveLength(1);
  });

  it('takes a journal that begins anew from a daemon that was started anew', async () => {
    node?.log({ kind: 'k', message: 'first life' });
    await expect.poll(messages).toEqual(['first life']);
    await node?.close();
    node = await fakeNode(path, { ...nodeStatus('hasta', 'hastb'), boot: 'second' });
    node.log({ kind: 'k', message: 'second life' });
    await expect.poll(messages).toEqual(['first life', 'second life']);
  });

  it('asks nothing any more when nobody listens', async () => {
    await expect.poll(() => feed.reachable()).toBe(true);
    end();
    const count = heard.length;
    node?.log({ kind: 'k', message: 'unheard' });
    await node?.close();
    node = null;
    expect([feed.reachable(), heard.length]).toEqual([false, count]);
  });
});

describe.each([
  ['no JSON', 'hello\n'],
  ['a reply without a result', '{"id":1,"ok":false,"error":{"code":"x","message":"y"}}\n'],
  ['a status that is none', '{"id":1,"ok":true,"result":{"boot":1}}\n'],
  ['an array', '[]\n'],
])('a socket that answers with %s', (_, line) => {
  let directory: string;
  let server: Server;

  afterEach(async () => {
    await new Promise((resolve) => server.close(resolve));
    await rm(directory, { recursive: true, force: true });
  });

  it('is taken for unreachable and asked again', async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-feed-'));
    let connections = 0;
    server = createServer((socket) => {
      connections += 1;
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write(line));
    }).listen(join(directory, 's'));
    const feed = controlFeed('hasta', join(directory, 's'));
    const end = feed.subscribe(() => undefined);
    await expect.poll(() => connections, { timeout: 5000 }).toBeGreaterThan(1);
    expect([feed.reachable(), feed.status()]).toEqual([false, null]);
    end();
  });
});
