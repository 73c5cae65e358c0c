import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createServer, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { JournalEvent, NodeStatus } from '../../../src/protocol/control.ts';
import type { FeedMessage, NodeFeed } from '../../../src/visualizer/feed.ts';
import type { Visualizer } from '../../../src/visualizer/server.ts';
import { startVisualizer } from '../../../src/visualizer/server.ts';
import { nodeStatus } from '../../e2e/page-nodes.ts';

class TestFeed implements NodeFeed {
  readonly name = 'hasta';
  readonly listeners = new Set<(message: FeedMessage) => void>();
  known: NodeStatus | null = nodeStatus('hasta', 'hastb');
  up = true;
  status = (): NodeStatus | null => this.known;
  reachable = (): boolean => this.up;
  subscribe(listener: (message: FeedMessage) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  tell(message: FeedMessage): void {
    for (const listener of this.listeners) listener(message);
  }
  tellEvent(seq: number, changes: Partial<JournalEvent> = {}): void {
    const time = new Date(seq).toISOString();
    const event = {
      seq,
      time,
      at: seq,
      node: 'hasta',
      kind: 'k',
      level: 'info',
      message: `m${seq}`,
      ...changes,
    };
    this.tell({ kind: 'event', event: event as JournalEvent });
  }
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

async function ask(
  url: string,
  path: string,
  options: { host?: string; method?: string } = {},
): Promise<Answer> {
  const { host, method = 'GET' } = options;
  const sent = request(new URL(path, url), { method, headers: host === undefined ? {} : { Host: host } });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += String(chunk);
  return { status: response.statusCode ?? 0, headers: response.headers, body };
}

/** Opens the stream of events and reads from it until `enough`. */
async function openStream(url: string): Promise<{
  readonly status: number;
  readonly ended: Promise<unknown>;
  until: (enough: (text: string) => boolean) => Promise<string>;
  close: () => void;
}> {
  const sent = request(new URL('/api/events', url));
  sent.on('error', () => undefined);
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  response.on('error', () => undefined);
  return {
    status: response.statusCode ?? 0,
    ended: new Promise((resolve) => response.on('close', resolve)),
    async until(enough) {
      while (!enough(text)) await once(response, 'data');
      return text;
    },
    close: () => sent.destroy(),
  };
}

const dataOf = (text: string, event: string): unknown[] =>
  text
    .split('\n\n')
    // What stands behind the last empty line is still on its way.
    .slice(0, -1)
    .filter((frame) => frame.startsWith(`event: ${event}\n`))
    .map((frame): unknown => JSON.parse(frame.slice(frame.indexOf('data: ') + 6)));

describe('the server of the page', () => {
  let directory: string;
  let feed: TestFeed;
  let server: Visualizer;
  let logged: string[];
  const options = () => ({
    listen: { host: '127.0.0.1', port: 0 },
    feeds: [feed],
    log: (_level: string, message: string) => logged.push(message),
    assets: directory,
  });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-server-'));
    for (const name of ['index.html', 'page.js', 'page.css'])
      await writeFile(join(directory, name), `${name}!`);
    await writeFile(join(directory, 'layouts.json'), '{"group":1}');
    feed = new TestFeed();
    logged = [];
    server = await startVisualizer(options());
  });

  afterEach(async () => {
    await server.close();
    await rm(directory, { recursive: true, force: true });
  });

  it.each([
    ['/', 'text/html', 'index.html!'],
    ['/?a=1', 'text/html', 'index.html!'],
    ['/page.js', 'text/javascript', 'page.js!'],
    ['/page.css', 'text/css', 'page.css!'],
    ['/api/layouts', 'application/json', '{"group":1}'],
  ])('serves %s as %s', async (path, type, body) => {
    const answer = await ask(server.url, path);
    expect([answer.status, answer.body]).toEqual([200, body]);
    expect(answer.headers['content-type']).toContain(type);
  });

  it('lets a browser run its own script only, in no frame', async () => {
    const { headers } = await ask(server.url, '/');
    expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self';");
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(headers['content-security-policy']).not.toContain('unsafe');
  });

  it.each([
    ['another method', '/', { method: 'POST' }, 405],
    ['a path that is none', '/../package.json', {}, 404],
    ['a foreign name', '/api/state', { host: 'evil.example:8458' }, 403],
    ['a name that only begins like ours', '/', { host: 'localhost.evil.example' }, 403],
    ['a malformed name', '/', { host: 'local host' }, 403],
    ['an address of another machine', '/', { host: '10.10.10.10' }, 403],
  ])('refuses %s', async (_, path, how, status) => {
    expect((await ask(server.url, path, how)).status).toBe(status);
  });

  it.each(['localhost:9000', '127.0.0.1', '[::1]:8458', 'LOCALHOST'])(
    'answers to the name %s',
    async (host) => {
      expect((await ask(server.url, '/', { host })).status).toBe(200);
    },
  );

  it('tells the state of every node, and for how long one has been silent', async () => {
    const state = JSON.parse((await ask(server.url, '/api/state')).body) as {
      unreachableMs: number | null;
    }[];
    expect(state).toMatchObject([{ name: 'hasta', unreachableMs: null, status: { node: 'hasta' } }]);
    feed.up = false;
    const [gone] = JSON.parse((await ask(server.url, '/api/state')).body) as { unreachableMs: number }[];
    expect(gone?.unreachableMs).toBeGreaterThanOrEqual(0);
  });

  it('streams states and events as they come', async () => {
    const stream = await openStream(server.url);
    await stream.until((text) => text.includes('event: journal'));
    feed.tellEvent(1);
    feed.up = false;
    feed.tell({ kind: 'unreachable' });
    const text = await stream.until((all) => dataOf(all, 'state').length === 2);
    expect(dataOf(text, 'journal')).toMatchObject([[], [{ feed: 'hasta', event: { message: 'm1' } }]]);
    expect(dataOf(text, 'state')).toMatchObject([{ unreachableMs: null }, { unreachableMs: 0 }]);
    stream.close();
  });

  it('tells a newcomer the last 500 events and no resync steps', async () => {
    for (let seq = 1; seq <= 620; seq += 1) {
      feed.tellEvent(seq, seq > 600 ? { kind: 'engine.sync-progress' } : {});
    }
    const stream = await openStream(server.url);
    const text = await stream.until((all) => dataOf(all, 'journal').length === 1);
    const [events] = dataOf(text, 'journal') as { event: { seq: number } }[][];
    expect([events?.length, events?.[0]?.event.seq, events?.at(-1)?.event.seq]).toEqual([500, 101, 600]);
    stream.close();
  });

  it('lets 32 pages follow, turns the next away, and takes it when one has left', async () => {
    const streams = [];
    for (let count = 0; count < 32; count += 1) streams.push(await openStream(server.url));
    expect((await openStream(server.url)).status).toBe(503);
    streams[0]?.close();
    await expect
      .poll(async () => {
        const stream = await openStream(server.url);
        stream.close();
        return stream.status;
      })
      .toBe(200);
    for (const stream of streams) stream.close();
  });

  it('drops a page that does not read', async () => {
    const { port } = new URL(server.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await once(socket, 'readable');
    const message = 'x'.repeat(100_000);
    let seq = 0;
    await expect
      .poll(
        () => {
          for (let count = 0; count < 20; count += 1) feed.tellEvent((seq += 1), { message });
          return logged.some((line) => line.startsWith('dropped a page'));
        },
        { timeout: 10_000 },
      )
      .toBe(true);
    socket.destroy();
  });

  it('ends every stream and its subscriptions when it is closed', async () => {
    const stream = await openStream(server.url);
    await server.close();
    await stream.ended;
    expect(feed.listeners.size).toBe(0);
    await expect(ask(server.url, '/')).rejects.toThrow('ECONNREFUSED');
  });

  it('names the address and the remedy when the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const started = startVisualizer({ ...options(), listen: { host: '127.0.0.1', port } });
    await expect(started).rejects.toMatchObject({
      code: 'visualizer-port-in-use',
      message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:${port}: .*set another port`)) as unknown,
    });
    other.close();
  });

  it('says what to do when the page was not built, and still tells the state', async () => {
    const bare = await startVisualizer({ ...options(), assets: join(directory, 'nowhere') });
    expect(logged.join()).toContain("run 'npm run build'");
    expect((await ask(bare.url, '/')).status).toBe(503);
    expect((await ask(bare.url, '/api/state')).status).toBe(200);
    await bare.close();
  });
});
