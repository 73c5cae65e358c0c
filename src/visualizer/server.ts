/**
 * Serves the page and what it shows, by GET only, to this machine only. No packet, disk or
 * decision depends on it: when it cannot start, the daemon goes on without it.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIPv6 } from 'node:net';

import { NetError } from '../model/errors.ts';
import { loadAssets } from './assets.ts';
import type { Assets } from './assets.ts';
import { EventHub } from './event-hub.ts';
import type { NodeFeed, VisualizerLog } from './feed.ts';
import { hostAllowed, SECURITY_HEADERS } from './http-guard.ts';

export interface VisualizerOptions {
  /** Port 0 takes any free one. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly feeds: readonly NodeFeed[];
  readonly log: VisualizerLog;
  /** Folder with the built page; the package's own by default. */
  readonly assets?: string;
}

export interface Visualizer {
  readonly url: string;
  /** Ends every connection and subscription. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 128;
const REQUEST_MS = 10_000;

/**
 * @throws NetError `visualizer-port-in-use` or `visualizer-listen`
 */
export async function startVisualizer(options: VisualizerOptions): Promise<Visualizer> {
  const { listen, feeds, log } = options;
  const assets = await loadAssets(options.assets);
  if (assets.page === null) {
    log('warn', `the page is not built (looked in ${assets.directory}): run 'npm run build'`);
  }
  const hub = new EventHub(log);
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS },
    (request, response) => {
      answer({ assets, hub, host: listen.host }, request, response);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  await bind(server, listen);
  hub.follow(feeds);
  const url = addressOf(server, listen.host);
  log('info', `the page is at ${url}`);
  return {
    url,
    async close() {
      hub.close();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

interface Scene {
  readonly assets: Assets;
  readonly hub: EventHub;
  readonly host: string;
}

function answer({ assets, hub, host }: Scene, request: IncomingMessage, response: ServerResponse): void {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
  if (!hostAllowed(request, host)) {
    refuse(response, 403, 'This name is not known here. Ask by 127.0.0.1, localhost or the listen address.');
    return;
  }
  if (request.method !== 'GET') {
    response.setHeader('Allow', 'GET');
    refuse(response, 405, 'The page shows; it changes nothing. Only GET.');
    return;
  }
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  if (path === '/api/state') {
    send(response, 'application/json', JSON.stringify(hub.states()));
    return;
  }
  if (path === '/api/events') {
    if (hub.admit(response)) return;
    response.setHeader('Retry-After', '5');
    refuse(response, 503, 'Too many pages are open. Close one.');
    return;
  }
  if (assets.page === null) {
    refuse(response, 503, "The page is not built. Run 'npm run build'.");
    return;
  }
  const asset = assets.page.get(path);
  if (asset === undefined) {
    refuse(response, 404, 'Nothing here. The page is at /.');
    return;
  }
  send(response, asset.type, asset.body);
}

function send(response: ServerResponse, type: string, body: string | Buffer): void {
  response.writeHead(200, {
    'Content-Type': `${type}; charset=utf-8`,
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}

async function bind(server: Server, { host, port }: VisualizerOptions['listen']): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const inUse = cause.code === 'EADDRINUSE';
      const where = hostAndPort(host, port);
      reject(
        new NetError(
          inUse ? 'visualizer-port-in-use' : 'visualizer-listen',
          inUse
            ? `the page cannot listen on ${where}: another program does; end it or set another port in 'visualizer: { listen: ... }'`
            : `the page cannot listen on ${where} (${cause.message}); correct 'visualizer: { listen: ... }'`,
          { cause },
        ),
      );
    });
    server.listen({ host, port }, resolve);
  });
  server.removeAllListeners('error');
  // A running listener fails only for single connections, which is no news for anybody.
  server.on('error', () => undefined);
}

function addressOf(server: Server, host: string): string {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return `http://${hostAndPort(host, port)}`;
}

function hostAndPort(host: string, port: number): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
