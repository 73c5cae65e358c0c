/** The log as real receivers get it: by UDP, by TCP, and on a unix datagram socket. */
import { createSocket } from 'node:dgram';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { createLogger, type Logger } from '../../../../src/daemon/log.ts';
import type { LogSettings, SyslogSettings } from '../../../../src/model/settings.ts';
import { freeTcpPort } from '../../../support/free-ports.ts';
import { needs } from '../../../support/needs.ts';
import { receiveDatagrams } from '../../../support/unix-datagrams.ts';

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

function settings(to: SyslogSettings['to'], level: LogSettings['level'] = 'info'): LogSettings {
  return { level, format: 'text', syslog: { facility: 'local0', severity: 7, tag: 'carp-hast', to } };
}

function logger(log: LogSettings, debug = 0): Logger & { troubles: (string | null)[] } {
  const troubles: (string | null)[] = [];
  const made = createLogger({
    node: 'hasta',
    settings: log,
    debug,
    detached: true,
    onTrouble: (reason) => troubles.push(reason),
  });
  closers.push(() => made.close());
  return { ...made, troubles };
}

async function until<T>(what: string, look: () => T | undefined | false): Promise<T> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const seen = look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const RFC5424 = /^<(\d+)>1 (\S+) (\S+) (\S+) (\d+) - - (.*)$/;

function parsed(message: string) {
  const [, priority, time = '', host, tag, pid, text] = RFC5424.exec(message) ?? [];
  return { priority, at: Date.parse(time), host, tag, pid, text };
}

describe('by UDP', () => {
  it('each line is one RFC 5424 datagram with the facility, severity and tag that were asked for', async () => {
    const received: string[] = [];
    const server = createSocket('udp4').on('message', (data) => received.push(data.toString()));
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
    closers.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
    const { log } = logger(settings({ kind: 'udp', host: '127.0.0.1', port: server.address().port }));
    log('info', 'disk1: role init -> primary.');
    log('debug', 'not asked for');
    log('error', 'second');
    await until('two datagrams', () => received.length >= 2);
    expect(received.map(parsed)).toMatchObject([
      { priority: '135', tag: 'carp-hast', pid: String(process.pid), text: 'disk1: role init -> primary.' },
      { priority: '135', text: 'second' },
    ]);
    expect(Math.abs(parsed(received[0] ?? '').at - Date.now())).toBeLessThan(60_000);
  });

  it('each -d makes one level more of it', async () => {
    const received: string[] = [];
    const server = createSocket('udp4').on('message', (data) => received.push(data.toString()));
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
    closers.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
    const to = { kind: 'udp', host: '127.0.0.1', port: server.address().port } as const;
    const levels = ['error', 'warn', 'info', 'debug', 'trace'] as const;
    for (const debug of [0, 1, 2]) {
      const { log } = logger(settings(to), debug);
      for (const level of levels) log(level, `${debug} ${level}`);
      log('error', 'end');
      await until('the end', () => received.at(-1)?.endsWith('- end'));
      const seen = received.splice(0).map((message) => parsed(message).text);
      expect(seen).toEqual([...levels.slice(0, 3 + debug).map((level) => `${debug} ${level}`), 'end']);
    }
  });
});

describe('by TCP', () => {
  /** Frames as RFC 6587 counts them. */
  function frames(bytes: string): string[] {
    const found: string[] = [];
    let rest = Buffer.from(bytes);
    for (;;) {
      const head = /^(\d+) /.exec(rest.toString('latin1'));
      const start = head?.[0].length ?? 0;
      const length = Number(head?.[1]);
      if (head === null || rest.length < start + length) return found;
      found.push(rest.toString('utf8', start, start + length));
      rest = rest.subarray(start + length);
    }
  }

  async function receiver(port: number): Promise<{ lines: () => string[]; close: () => Promise<void> }> {
    const sockets = new Set<Socket>();
    let bytes = '';
    const server: Server = createServer((socket) => {
      sockets.add(socket.setEncoding('utf8'));
      socket.on('data', (chunk) => (bytes += chunk.toString())).on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const close = (): Promise<void> => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    };
    closers.push(close);
    return { lines: () => frames(bytes).map((message) => parsed(message).text ?? ''), close };
  }

  it('lines are counted frames, and those of the time when the receiver was away arrive afterwards', async () => {
    const port = await freeTcpPort('127.0.0.1');
    const { log, troubles } = logger(settings({ kind: 'tcp', host: '127.0.0.1', port }));
    log('info', 'before anybody listens');
    await until('trouble', () => troubles.some((reason) => reason?.includes('ECONNREFUSED')));
    const first = await receiver(port);
    await until('the first line', () => first.lines().includes('before anybody listens'));
    await until('the end of the trouble', () => troubles.at(-1) === null);
    log('warn', 'grüße\nover two lines');
    await until('the second line', () => first.lines().includes('grüße\\nover two lines'));
    await first.close();
    const again = await receiver(port);
    // What the kernel took for the dead connection is gone: TCP does not tell.
    let count = 0;
    await until('a line', () => {
      log('info', `after the restart ${(count += 1)}`);
      return again.lines().some((line) => line.startsWith('after the restart'));
    });
  });
});

describe.skipIf(needs('koffi'))('on the local socket', () => {
  it('lines arrive as syslog(3) writes them, across a restart of the daemon, and none is waited for', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'hastate-log-'));
    closers.push(() => rm(directory, { recursive: true }));
    const path = join(directory, 'log');
    const { log, troubles } = logger(settings({ kind: 'local', path }));
    log('info', 'nobody is there');
    await until('trouble', () => troubles.some((reason) => reason?.includes('ENOENT')));
    let daemon = receiveDatagrams(path);
    const first = await until('the first line', () => daemon.take()[0]);
    expect(first).toMatch(/^<135>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d carp-hast\[\d+\]: nobody is there$/);
    daemon.close();
    log('info', 'restarting');
    daemon = receiveDatagrams(path);
    closers.push(() => daemon.close());
    expect(
      await until('the next line', () => daemon.take().find((line) => line.endsWith('restarting'))),
    ).toBeDefined();
    // Nobody reads: the socket is full soon, and writing goes on.
    for (let i = 0; i < 2000; i++) log('info', `flood ${i}`);
    await until('a full socket', () => troubles.some((reason) => reason?.includes('EAGAIN')));
    const seen: string[] = [];
    await until('the last line', () => {
      seen.push(...daemon.take());
      return seen.some((line) => line.endsWith('flood 1999'));
    });
    expect(seen.filter((line) => line.includes('flood'))).toHaveLength(2000);
  });
});

it('goes elsewhere from the next line on when it is configured anew', async () => {
  const ports = await Promise.all(
    [0, 1].map(async () => {
      const received: string[] = [];
      const server = createSocket('udp4').on('message', (data) => received.push(data.toString()));
      await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
      closers.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
      return { received, port: server.address().port };
    }),
  );
  const [first, second] = ports;
  if (first === undefined || second === undefined) throw new Error('two ports were opened');
  const made = logger(settings({ kind: 'udp', host: '127.0.0.1', port: first.port }));
  made.log('info', 'here');
  await until('the first', () => first.received.length === 1);
  made.configure(settings({ kind: 'udp', host: '127.0.0.1', port: second.port }, 'debug'));
  made.log('debug', 'there');
  await until('the second', () => second.received.length === 1);
  expect([first.received.length, parsed(second.received[0] ?? '').text]).toEqual([1, 'there']);
});
