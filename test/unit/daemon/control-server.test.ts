import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { controlClient } from '../../../src/cli/client.ts';
import { createControlServer } from '../../../src/daemon/control-server.ts';
import type { ControlServer, ControlServerOptions } from '../../../src/daemon/control-server.ts';
import { NetError } from '../../../src/model/errors.ts';
import type { JournalEvent } from '../../../src/protocol/control.ts';

let directory: string;
let path: string;
let server: ControlServer | null = null;
const sockets: Socket[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hastate-control-'));
  path = join(directory, 'ctl');
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server?.close();
  server = null;
  await rm(directory, { recursive: true });
});

async function serve(options: Partial<ControlServerOptions> = {}): Promise<void> {
  const handle = (request: unknown): Promise<unknown> => Promise.resolve({ request });
  server = await createControlServer({ path, handle, ...options });
}

async function open(): Promise<Socket> {
  const socket = connect({ path });
  socket.on('error', () => undefined);
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

/** All that the server says to these bytes until it ends the connection. */
async function converse(bytes: string | Buffer): Promise<string> {
  const socket = await open();
  socket.end(bytes);
  return text(socket);
}

const event = (seq: number, message = ''): JournalEvent => ({
  ...{ seq, time: '2026-01-01T00:00:00.000Z', at: seq, node: 'a' },
  ...{ kind: 'test', level: 'info' as const, message },
});

describe('the control socket', () => {
  it('is private even under an open umask, and removed by close', async () => {
    const umask = process.umask(0);
    try {
      await serve();
      expect(process.umask(0)).toBe(0);
    } finally {
      process.umask(umask);
    }
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await server?.close();
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });

  it('replaces one that a dead daemon left, but never a live one or a file', async () => {
    const dead = createServer();
    dead.listen(path);
    await once(dead, 'listening');
    await expect(createControlServer({ path, handle: () => Promise.resolve() })).rejects.toMatchObject({
      code: 'control-in-use',
    });
    // Renaming keeps the file where close() will not look for it.
    const { rename } = await import('node:fs/promises');
    await rename(path, `${path}.left`);
    dead.close();
    await rename(`${path}.left`, path);
    await serve();
    await expect(controlClient(path).request('status')).resolves.toBeTruthy();
    await writeFile(`${path}.file`, 'mine');
    const taken = createControlServer({ path: `${path}.file`, handle: () => Promise.resolve() });
    await expect(taken).rejects.toMatchObject({ code: 'control-path-taken' });
    await expect(readFile(`${path}.file`, 'utf8')).resolves.toBe('mine');
  });

  it('says how long a path may be, and which directory is missing', async () => {
    const long = createControlServer({ path: `/tmp/${'x'.repeat(110)}`, handle: () => Promise.resolve() });
    await expect(long).rejects.toMatchObject({ code: 'control-path-too-long' });
    const nowhere = createControlServer({
      path: join(directory, 'no', 'ctl'),
      handle: () => Promise.resolve(),
    });
    await expect(nowhere).rejects.toMatchObject({ code: 'control-listen' });
  });
});

describe('JSON lines', () => {
  it('carry requests and results, and errors with the code of what was thrown', async () => {
    await serve({
      handle: ({ command, args }) =>
        command === 'role'
          ? Promise.reject(new NetError('some-code', 'what to do'))
          : command === 'stop'
            ? Promise.reject(new TypeError('oops'))
            : Promise.resolve({ command, args }),
    });
    const client = controlClient(path);
    await expect(client.request('why-not', { group: 'g' })).resolves.toEqual({
      command: 'why-not',
      args: { group: 'g' },
    });
    await expect(client.request('role')).rejects.toMatchObject({ code: 'some-code', message: 'what to do' });
    await expect(client.request('stop')).rejects.toMatchObject({ code: 'internal', message: 'oops' });
  });

  it('are understood however they are cut, and answered after the client stopped sending', async () => {
    const line = `${JSON.stringify({ id: 7, command: 'groups', args: { ä: 1 } })}\n`;
    await serve({ handle: ({ args }) => new Promise((resolve) => setImmediate(resolve, args)) });
    const whole = await converse(line);
    expect(JSON.parse(whole)).toEqual({ id: 7, ok: true, result: { ä: 1 } });
    const bytes = Buffer.from(line);
    for (let cut = 1; cut < bytes.length; cut++) {
      const socket = await open();
      socket.write(bytes.subarray(0, cut), () => socket.end(bytes.subarray(cut)));
      expect(await text(socket)).toBe(whole);
    }
  });

  it.each([
    ['no JSON', '{nonsense\n', 'bad-request', 'this is no JSON'],
    ['no id', '{"command":"status"}\n', 'bad-request', "'id'"],
    ['no command', '{"id":1}\n', 'bad-request', "'command'"],
    ['args that are a list', '{"id":1,"command":"status","args":[]}\n', 'bad-request', "'args'"],
    ['an unknown command', '{"id":1,"command":"toString"}\n', 'unknown-command', 'toString'],
    ['another protocol', 'GET / HTTP/1.1\r\n', 'bad-request', 'byte 71'],
    ['a line without end', `{${'x'.repeat(70_000)}`, 'request-too-long', '65536'],
    ['a long line', `{${'x'.repeat(70_000)}\n`, 'request-too-long', '65536'],
  ])('refuse %s', async (_what, bytes, code, message) => {
    const handle = vi.fn(() => Promise.resolve());
    await serve({ handle });
    const reply: unknown = JSON.parse(await converse(bytes));
    expect(reply).toMatchObject({
      ok: false,
      error: { code, message: expect.stringContaining(message) as string },
    });
    expect(handle).not.toHaveBeenCalled();
  });

  it('refuse the seventeenth unanswered request of a client', async () => {
    await serve({
      handle: (_request, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject)),
    });
    const socket = await open();
    for (let id = 1; id <= 17; id++) socket.write(`{"id":${id},"command":"status"}\n`);
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    expect(JSON.parse(chunk.toString())).toMatchObject({ id: 17, error: { code: 'too-many-requests' } });
  });

  it('are taken from 64 clients at a time', async () => {
    await serve();
    const ask = async (): Promise<Socket> => {
      const socket = await open();
      socket.write('{"id":1,"command":"status"}\n');
      await once(socket, 'data');
      return socket;
    };
    const first = await ask();
    for (let n = 1; n < 64; n++) await ask();
    await expect(controlClient(path).request('status')).rejects.toMatchObject({ code: 'too-many-clients' });
    first.destroy();
    await vi.waitFor(() => expect(controlClient(path).request('status')).resolves.toBeTruthy());
  });
});

describe('clients that say half of something and then nothing', () => {
  const halves: [string, Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['half a line', Buffer.from('{"id":1,"comm')],
    ['half a frame of hastctl', Buffer.from([1, 0x40, 0, 0, 0, 0x11])],
  ];

  it.each(halves)('%s: two hundred of them keep nobody out, and each is closed in time', async (_, bytes) => {
    const said = new Set<string>();
    const handleHastctl = (): Promise<Buffer> => Promise.resolve(Buffer.alloc(0));
    await serve({ patienceMs: 300, onDismissed: (why) => said.add(why), handleHastctl });
    let open200 = 200;
    for (let n = 0; n < 200; n++) {
      const socket = await open();
      socket.resume().on('close', () => open200--);
      socket.write(bytes);
    }
    expect(await controlClient(path).request('status')).toBeTruthy();
    await vi.waitFor(() => expect(open200).toBe(0), { timeout: 5000 });
    expect([...said].join()).toContain('within 0.3 s');
  });

  it('also after a whole request, and however slowly it goes on', async () => {
    await serve({ patienceMs: 200 });
    const socket = await open();
    socket.write('{"id":1,"command":"status"}\n{"id":2,');
    const drip = setInterval(() => socket.write('"'), 20);
    onTestFinished(() => clearInterval(drip));
    expect(await text(socket)).toContain('request-late');
  });
});

describe('followers', () => {
  it('get events until they go, and their handler hears of it', async () => {
    let ended: () => void;
    const left = new Promise<void>((resolve) => (ended = resolve));
    await serve({
      handle: (_request, { signal, push }) => {
        push(event(1));
        push(event(2));
        return new Promise((resolve) =>
          signal.addEventListener('abort', () => {
            ended();
            resolve(null);
          }),
        );
      },
    });
    const abort = new AbortController();
    const seen: number[] = [];
    await controlClient(path).follow(
      { follow: true },
      ({ seq }) => {
        seen.push(seq);
        if (seq === 2) abort.abort();
      },
      abort.signal,
    );
    expect(seen).toEqual([1, 2]);
    await left;
  });

  it('that do not read are dropped with a line that says so, while others are served', async () => {
    let pushed = 0;
    await serve({
      handle: ({ command }, { signal, push }) => {
        for (; command === 'events' && !signal.aborted; pushed++) push(event(pushed, 'x'.repeat(10_000)));
        return Promise.resolve('done');
      },
    });
    const socket = await open();
    socket.pause();
    socket.write('{"id":3,"command":"events"}\n');
    await vi.waitFor(() => expect(pushed).toBeGreaterThan(0));
    expect(pushed).toBeLessThan(1000);
    await expect(controlClient(path).request('status')).resolves.toBe('done');
    const lines = (await text(socket)).trimEnd().split('\n');
    expect(lines).toHaveLength(pushed);
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ id: 3, ok: false, error: { code: 'too-slow' } });
  });
});

describe('frames of hastctl', () => {
  const frame = Buffer.from([2, 3, 0, 0, 0, 0x61, 0x62, 0x63]);

  it('reach their handler whole however they are cut, and their reply ends the connection', async () => {
    await serve({ handleHastctl: (bytes) => Promise.resolve(Buffer.concat([Buffer.from('<'), bytes])) });
    for (let cut = 0; cut < frame.length; cut++) {
      const socket = await open();
      socket.write(frame.subarray(0, cut), () => socket.write(frame.subarray(cut)));
      expect(await text(socket)).toBe(`<${frame.toString()}`);
    }
  });

  it.each([
    ['claims more than it may', Buffer.from([2, 0, 0, 2, 0]), undefined],
    ['makes its handler fail', frame, () => Promise.reject(new Error('no'))],
    ['has no handler', frame, null],
  ])('end the connection without a reply when one %s', async (_what, bytes, handler) => {
    await serve(
      handler === null ? {} : { handleHastctl: handler ?? (() => Promise.resolve(Buffer.from('x'))) },
    );
    const socket = await open();
    socket.write(bytes);
    expect(await text(socket)).toBe('');
  });
});

describe('the client', () => {
  it.each([
    ['nothing there', () => Promise.resolve(), 'there is no control socket'],
    ['a file', () => writeFile(path, ''), 'nobody answers'],
  ])('says that it cannot reach %s', async (_what, prepare, message) => {
    await prepare();
    const refused = controlClient(path).request('status');
    await expect(refused).rejects.toMatchObject({ code: 'control-unreachable' });
    await expect(refused).rejects.toThrow(message);
  });

  it('says that a daemon is too slow, ended, or is none', async () => {
    await serve({ handle: () => new Promise(() => undefined) });
    const client = controlClient(path);
    await expect(client.request('status', {}, 20)).rejects.toMatchObject({ code: 'control-timeout' });
    const unanswered = expect(client.request('status')).rejects.toMatchObject({ code: 'control-lost' });
    await open();
    await server?.close();
    await unanswered;
    const other = createServer((socket) => socket.end('hello\n'));
    other.listen(path);
    await once(other, 'listening');
    await chmod(path, 0o600);
    await expect(client.request('status')).rejects.toMatchObject({ code: 'control-reply' });
    other.close();
  });
});
