import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { PeerAddress } from '../../../src/model/settings.ts';
import { DEFAULT_TIMING } from '../../../src/model/timing.ts';
import { DeathWatch } from '../../../src/net/peer-channel-death.ts';
import { AS_HAST2, SECRET, closeAll, freeAddress, makeChannel } from './peer-channel-support.ts';
import type { TestChannel } from './peer-channel-support.ts';

const directory = mkdtempSync(join(tmpdir(), 'hastate-peer-'));
const program = join(directory, 'node.mjs');
const children = new Set<ChildProcess>();
const cleanups: (() => void)[] = [];

beforeAll(async () => {
  await build({
    stdin: {
      contents: `
        import { createPeerChannel } from './src/net/peer-channel.ts';
        const { secret, ...options } = JSON.parse(process.argv[2]);
        const channel = createPeerChannel({
          ...options, secret: Buffer.from(secret), insecure: false, clock: performance, heartbeatMs: 20,
          composeHeartbeat: () => ({ groups: [], resources: [] }), log: () => {}, callbacks: {},
        });
        await channel.start();
        process.on('SIGTERM', () => channel.close().then(() => process.exit()));`,
      resolveDir: process.cwd(),
      loader: 'ts',
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: program,
  });
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
  for (const cleanup of cleanups.splice(0)) cleanup();
  await closeAll();
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A whole process as the other node, connected both ways. */
async function withProcess(): Promise<{ one: TestChannel; child: ChildProcess }> {
  const [at1, at2] = await Promise.all([freeAddress('127.0.0.21'), freeAddress('127.0.0.22')]);
  const one = makeChannel(at1, [at2]);
  await one.channel.start();
  const options = { ...AS_HAST2, addresses: [at1], listen: [at2], secret: SECRET.toString() };
  const child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: 'inherit' });
  children.add(child);
  while (one.channel.status().connections < 2) await one.heard.next('heard');
  return { one, child };
}

describe('the peer’s process', () => {
  it('is certainly dead after SIGKILL, before its silence would count', async () => {
    const { one, child } = await withProcess();
    const killedAt = performance.now();
    child.kill('SIGKILL');
    const { at } = await one.heard.some('death');
    expect(at - killedAt).toBeLessThan(DEFAULT_TIMING.promotionDelayMs);
    expect(one.heard.of('heard').at(-1)?.at).toBeLessThanOrEqual(at);
    expect(one.heard.of('goodbye')).toEqual([]);
  });

  it('is not dead while it is paused, and is heard again when it goes on', async () => {
    const { one, child } = await withProcess();
    child.kill('SIGSTOP');
    const { reason } = await one.heard.some('down');
    expect(reason).toBe('nothing was heard on it');
    const from = one.heard.all.length;
    child.kill('SIGCONT');
    await one.heard.next('alive', undefined, from);
    expect(one.heard.of('death')).toEqual([]);
    expect(one.heard.of('boot')).toHaveLength(1);
  });

  it('is not dead when it was stopped on purpose', async () => {
    const { one, child } = await withProcess();
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await Promise.all([one.heard.some('goodbye'), one.heard.some('down'), ended]);
    expect(one.heard.of('death')).toEqual([]);
  });
});

/** A way to the other node that can be cut; closing it makes the address refuse. */
async function proxy(
  to: PeerAddress,
): Promise<{ at: PeerAddress; cut: () => void; close: () => Promise<void> }> {
  const at = await freeAddress('127.0.0.23');
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to.port, to.host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(at.port, at.host, resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const close = (): Promise<void> => {
    const done = new Promise<void>((resolve) => server.close(() => resolve()));
    cut();
    return done;
  };
  cleanups.push(() => void close());
  return { at, cut, close };
}

describe('a connection that is cut', () => {
  it('is no death while the host takes a new one, even when another address of it refuses', async () => {
    const [at1, at2, deaf] = await Promise.all([
      freeAddress('127.0.0.21'),
      freeAddress('127.0.0.22'),
      freeAddress('127.0.0.24'),
    ]);
    const way = await proxy(at2);
    const one = makeChannel(at1, [deaf, way.at]);
    const two = makeChannel(at2, [], AS_HAST2);
    await Promise.all([one.channel.start(), two.channel.start()]);
    await one.heard.some('alive');
    for (let round = 0; round < 5; round += 1) {
      const from = one.heard.all.length;
      way.cut();
      await one.heard.next('down', undefined, from);
      // An echo from before the cut proves nothing: only a connection that is up again can be cut.
      await one.heard.next('alive', undefined, one.heard.all.length);
    }
    expect(one.heard.of('death')).toEqual([]);
  });

  it('is no death while another network still connects the two', async () => {
    const [at1, at2] = await Promise.all([freeAddress('127.0.0.21'), freeAddress('127.0.0.22')]);
    const way = await proxy(at2);
    const one = makeChannel(at1, [at2, way.at]);
    const two = makeChannel(at2, [], AS_HAST2);
    await Promise.all([one.channel.start(), two.channel.start()]);
    while (one.channel.status().connections < 2) await one.heard.next('heard');
    await way.close();
    while (one.channel.status().connections > 1) await one.heard.next('heard');
    await one.heard.next('alive');
    expect([...one.heard.of('death'), ...one.heard.of('down')]).toEqual([]);
  });
});

describe('the watch for certain death', () => {
  it('tells when the peer was cut off, once, for a refusal of an attempt that began after that', () => {
    const watch = new DeathWatch();
    const early = watch.attempt();
    watch.lastEnded(7000, true, false);
    const late = watch.attempt();
    expect([watch.refused(early), watch.refused(late), watch.refused(late)]).toEqual([null, 7000, null]);
  });

  it.each([
    ['we ended the connection ourselves', false, false],
    ['the peer said goodbye', true, true],
  ])('never fires when %s', (_, byPeer, saidGoodbye) => {
    const watch = new DeathWatch();
    watch.lastEnded(7000, byPeer, saidGoodbye);
    expect(watch.refused(watch.attempt())).toBeNull();
  });

  it('never fires when something was heard since', () => {
    const watch = new DeathWatch();
    watch.lastEnded(7000, true, false);
    const attempt = watch.attempt();
    watch.heard();
    expect(watch.refused(attempt)).toBeNull();
  });
});
