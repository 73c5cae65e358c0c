import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { parseDevdLine, watchDevd } from '../../../src/net/devd.ts';
import type { DevdEvent } from '../../../src/net/devd.ts';
import { parseCarpState, startKernelCarp } from '../../../src/net/kernel-carp.ts';
import type { ForeignElection, StateNews } from '../../../src/net/foreign-election.ts';
import type { CommandResult } from '../../../src/net/run-command.ts';

let directory: string;
let path: string;
let server: Server;
let clients: Socket[];
const opened: { close(): unknown }[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hastate-devd-'));
  path = join(directory, 'devd.pipe');
  clients = [];
  server = createServer((socket) => clients.push(socket.on('error', () => undefined)));
  await listen();
});
afterEach(async () => {
  for (const thing of opened.splice(0)) await thing.close();
  for (const client of clients) client.destroy();
  server.close();
  await rm(directory, { recursive: true, force: true });
});
async function listen(): Promise<void> {
  server.listen(path);
  await once(server, 'listening');
}
const until = async (fits: () => boolean): Promise<void> => {
  while (!fits()) await new Promise((resolve) => setImmediate(resolve));
};

describe('a line of devd', () => {
  it.each([
    ['!system=IFNET subsystem=em0 type=LINK_DOWN', { system: 'IFNET', subsystem: 'em0', type: 'LINK_DOWN' }],
    ['!system=CARP subsystem=1@em0 type=MASTER', { system: 'CARP', subsystem: '1@em0', type: 'MASTER' }],
    [
      '!system=DEVFS subsystem=CDEV type=CREATE cdev="a \\"b\\" type=X"',
      { system: 'DEVFS', subsystem: 'CDEV', type: 'CREATE' },
    ],
    ['!system=USB subsystem=DEVICE', null],
    ['+em0 at slot=3 function=0 on pci0', null],
    ['', null],
  ])('%s', (line, event) => {
    expect(parseDevdLine(line)).toEqual(event);
  });
});

describe('watching devd', () => {
  function watching(): { events: DevdEvent[]; lines: string[]; connects: () => number } {
    const [events, lines]: [DevdEvent[], string[]] = [[], []];
    let connects = 0;
    const watch = watchDevd({
      ...{ path, retryMs: 5, onEvent: (event) => events.push(event), onConnect: () => (connects += 1) },
      log: (_level, message) => lines.push(message),
    });
    opened.push(watch);
    return { events, lines, connects: () => connects };
  }

  it('reads events however the stream is cut', async () => {
    const { events } = watching();
    await until(() => clients.length === 1);
    const stream = '!system=CARP subsystem=1@em0 type=BACKUP\n-x\n!system=CARP subsystem=1@em0 type=MASTER\n';
    for (const byte of stream) {
      await new Promise<void>((resolve) => clients[0]?.write(byte, () => resolve()));
    }
    await until(() => events.length === 2);
    expect(events.map(({ type }) => type)).toEqual(['BACKUP', 'MASTER']);
  });

  it('connects again when devd was restarted, tells that events may be missing, and complains once', async () => {
    const { connects, lines } = watching();
    await until(() => clients.length === 1);
    const closed = new Promise((resolve) => server.close(resolve));
    clients[0]?.destroy();
    await closed;
    await until(() => lines.length === 1);
    await listen();
    await until(() => connects() === 2);
    expect(lines).toEqual([expect.stringMatching(/devd is not heard at .*devd\.pipe/)]);
  });

  it('hangs up on whoever sends a line without an end', async () => {
    const { events } = watching();
    await until(() => clients.length === 1);
    const [first] = clients;
    first?.write(`!${'x'.repeat(10_000)}`);
    await until(() => clients.length === 2);
    expect(events).toEqual([]);
  });
});

/** FreeBSD as far as carp(4) goes: a counter, vhids with a state, and what was asked of it. */
class StandIn {
  readonly commands: string[] = [];
  carp = 'BACKUP';
  demotion = 0;
  loaded = true;

  readonly run = (argv: readonly string[]): Promise<CommandResult> => {
    const text = argv.join(' ');
    const ok = (stdout = ''): CommandResult => ({ exitCode: 0, stdout, stderr: '' });
    if (text === 'sysctl -n net.inet.carp.allow') {
      return Promise.resolve(this.loaded ? ok('1') : { exitCode: 1, stdout: '', stderr: 'unknown oid' });
    }
    if (text === 'sysctl -n net.inet.carp.demotion') return Promise.resolve(ok(`${this.demotion}\n`));
    if (text === 'ifconfig em0') {
      return Promise.resolve(
        ok(`em0: flags=8943<UP> mtu 1500\n\tcarp: ${this.carp} vhid 1 advbase 1 advskew 0\n`),
      );
    }
    this.commands.push(text);
    const added = /^sysctl net\.inet\.carp\.demotion=(-?\d+)$/.exec(text)?.[1];
    if (added !== undefined) this.demotion += Number(added);
    if (text === 'ifconfig em0 vhid 1 state backup') this.carp = 'BACKUP';
    return Promise.resolve(ok());
  };
}

describe('the kernel of FreeBSD as elector (commands as its manual has them)', () => {
  async function started(standIn = new StandIn()): Promise<{
    election: ForeignElection;
    news: StateNews[];
    lines: string[];
    standIn: StandIn;
  }> {
    const [news, lines]: [StateNews[], string[]] = [[], []];
    const election = await startKernelCarp({
      ...{ interface: 'em0', vhid: 1, advbase: 1, advskew: 100, password: 'secret' },
      ...{ addresses: ['10.0.0.1/24', 'fd00::1/64'], devdPath: path, lookMs: 5, run: standIn.run },
      onChange: (change) => news.push(change),
      log: (_level, message) => lines.push(message),
    });
    opened.push(election);
    return { election, news, lines, standIn };
  }

  it('is set up held back, and only then told the addresses', async () => {
    const { standIn, election } = await started();
    expect(standIn.commands).toEqual([
      'sysctl net.inet.carp.demotion=240',
      'ifconfig em0 inet 10.0.0.1/24 vhid 1 advbase 1 advskew 100 pass secret alias',
      'ifconfig em0 inet6 fd00::1/64 vhid 1 advbase 1 advskew 100 pass secret alias',
    ]);
    expect(election.state()).toBe('BACKUP');
  });

  it('is refused where the module is not loaded, with what to do', async () => {
    const standIn = new StandIn();
    standIn.loaded = false;
    await expect(started(standIn)).rejects.toThrow(/kldload carp/);
  });

  it('tells by devd who is MASTER of our vhid, not of others', async () => {
    const { news, standIn, election } = await started();
    await until(() => clients.length === 1);
    standIn.carp = 'MASTER';
    clients[0]?.write('!system=CARP subsystem=2@em0 type=INIT\n!system=CARP subsystem=1@em0 type=MASTER\n');
    await until(() => news.length === 2);
    expect(news[1]).toMatchObject({ from: 'BACKUP', to: 'MASTER' });
    expect(election.counters()['devd']).toBeLessThanOrEqual(1);
  });

  it('is looked at when devd is silent', async () => {
    const { news, standIn } = await started();
    standIn.carp = 'MASTER';
    await until(() => news.at(-1)?.to === 'MASTER');
    expect(news.at(-1)?.reason).toBe('seen at ifconfig');
  });

  it('gets back exactly the demotion that it was given, however often it is asked', async () => {
    const { election, standIn } = await started();
    standIn.demotion += 7;
    for (const on of [false, false, true, true, false]) await election.holdBack(on);
    expect(standIn.demotion).toBe(7);
    await election.close();
    expect(standIn.demotion).toBe(247);
    opened.splice(0);
  });

  it('hands over by the command for it', async () => {
    const { election, standIn } = await started();
    standIn.carp = 'MASTER';
    await election.handOver();
    expect(standIn.commands.at(-1)).toBe('ifconfig em0 vhid 1 state backup');
    expect(election.state()).toBe('BACKUP');
  });

  it('tells when it keeps a demotion that is not ours, and how to undo it', async () => {
    const { election, standIn, lines } = await started();
    standIn.demotion += 240;
    await until(() => election.trouble() !== null);
    expect(election.trouble()).toMatch(/demoted by 240 besides us.*sysctl net\.inet\.carp\.demotion=-240/);
    standIn.demotion -= 240;
    await until(() => election.trouble() === null);
    expect(lines.filter((line) => line.includes('besides us'))).toHaveLength(1);
  });

  it.each([
    ['\tcarp: MASTER vhid 1 advbase 1 advskew 0\n', 'MASTER'],
    ['\tcarp: INIT vhid 1 advbase 1 advskew 0\n', 'INIT'],
    ['\tcarp: MASTER vhid 12 advbase 1 advskew 0\n\tcarp: BACKUP vhid 1 advbase 1 advskew 0\n', 'BACKUP'],
    ['em0: flags=8843<UP>\n', null],
  ])('is read from ifconfig: %j', (output, state) => {
    expect(parseCarpState(output, 1)).toBe(state);
  });
});
