/** What operators know from hastd: its pidfile, its `exec`, its log. */
import { createSocket } from 'node:dgram';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { connectNbd } from '../../src/device/nbd-initiator.ts';
import { hastated, type LabDaemon, resourceOf } from '../support/daemon.ts';
import { journalOf, untilPaired } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';

const EX_TEMPFAIL = 75;

let lab: Lab;
afterEach(() => lab.close());

describe.skipIf(needs('@ronomon/direct-io'))('the pidfile', () => {
  /** Nothing but the pidfile is shared with the first daemon. */
  async function second(): Promise<{ daemon: LabDaemon; files: string[] }> {
    const at = (name: string): string => join(lab.directory, name);
    const { control } = lab.places.hasta;
    await writeFile(
      at('second.conf'),
      (await readFile(lab.hastConf, 'utf8')).replace(control, at('second.sock')),
    );
    const changes = {
      hastConf: at('second.conf'),
      stateDir: at('second'),
      control: at('second.sock'),
      log: at('second.log'),
    };
    const files = [
      '-c',
      at('second.conf'),
      '-C',
      lab.hastateYaml,
      '-n',
      'hasta',
      '--state-dir',
      at('second'),
    ];
    return { daemon: lab.daemon('hasta', changes), files };
  }

  it('keeps a second daemon away, which names the first; a dead one keeps nobody away', async () => {
    lab = await Lab.make();
    const pidfile = join(lab.places.hasta.stateDir, 'hastated.pid');
    const first = lab.daemon('hasta').start('-P', pidfile);
    await first.untilRunning();
    expect(await readFile(pidfile, 'utf8')).toBe(`${first.pid}\n`);
    const { daemon, files } = await second();
    const words = `hastated: another daemon, pid ${first.pid}, runs already (pidfile ${pidfile}): stop it first, or name another pidfile with -P\n`;
    expect(await daemon.start('-P', pidfile).endsWithin(10_000)).toEqual({ code: EX_TEMPFAIL, signal: null });
    expect(await daemon.log()).toBe(words);
    // In the background hast.conf's pidfile counts, which is the same one here.
    expect(await hastated(...files)).toEqual({ code: EX_TEMPFAIL, stdout: '', stderr: words });
    await first.untilRunning();
    await first.kill();
    expect(existsSync(pidfile)).toBe(true);
    await first.start('-P', pidfile).untilRunning();
    expect(await readFile(pidfile, 'utf8')).toBe(`${first.pid}\n`);
    expect((await first.stop()).code).toBe(0);
    expect(existsSync(pidfile)).toBe(false);
  });
});

describe.skipIf(needs('sh'))('exec of hast.conf', () => {
  it('is told of roles, connections and synchronizations in order, with the arguments of hastd', async () => {
    const hook = (directory: string): string => join(directory, 'hooks', 'exec');
    lab = await Lab.make();
    await lab.edit(lab.hastConf, (text) =>
      text.replace('resource disk1 {', `resource disk1 {\n\texec ${hook(lab.directory)}`),
    );
    const calls = (node: 'hasta' | 'hastb'): string => join(lab.places[node].stateDir, 'calls');
    await lab.writeHook('exec', `echo "$@" >> "$WHERE"`);
    const told = async (node: 'hasta' | 'hastb'): Promise<string[]> =>
      existsSync(calls(node)) ? (await readFile(calls(node), 'utf8')).trim().split('\n') : [];
    const start = (node: 'hasta' | 'hastb'): LabDaemon =>
      lab.daemon(node, { enter: ['env', `WHERE=${calls(node)}`] }).start();
    const hasta = start('hasta');
    const hastb = start('hastb');
    await untilPaired({ primary: hasta, standby: hastb });
    await eventually(
      'the first events',
      async () => (await told('hasta')).includes('connect disk1') && (await told('hastb')).length > 1,
    );
    expect((await told('hasta')).slice(0, 3)).toEqual([
      'role disk1 init secondary',
      'role disk1 secondary primary',
      'connect disk1',
    ]);
    expect((await told('hastb')).slice(0, 2)).toEqual(['role disk1 init secondary', 'connect disk1']);
    await hastb.kill();
    await hasta.until('alone', (s) => resourceOf(s, 'disk1').status === 'degraded');
    const { export: offered } = resourceOf(await hasta.status(), 'disk1');
    const nbd = await connectNbd(
      { socketPath: offered?.socket ?? '', exportName: 'disk1' },
      AbortSignal.timeout(10_000),
    );
    await nbd.write(0, Buffer.alloc(4096, 7));
    await nbd.disconnect();
    hastb.start();
    await untilPaired({ primary: hasta, standby: hastb });
    await eventually(
      'the end of the synchronization',
      async () => (await told('hasta')).at(-1) === 'syncdone disk1',
    );
    expect((await told('hasta')).slice(-4)).toEqual([
      'disconnect disk1',
      'connect disk1',
      'syncstart disk1',
      'syncdone disk1',
    ]);
    // hastd tells of it at the primary only.
    expect((await told('hastb')).filter((line) => line.startsWith('sync'))).toEqual([]);
    expect((await hasta.stop()).code).toBe(0);
    expect((await told('hasta')).at(-1)).toBe('role disk1 primary init');
    const results = (await journalOf(hasta)).filter(({ kind }) => kind === 'exec.exited');
    expect(results.map(({ level }) => level)).not.toContain('error');
    expect(results).toHaveLength((await told('hasta')).length);
  });
});

describe('the log', () => {
  it('holds no secret, however much is asked for and whatever the peer gets wrong', async () => {
    lab = await Lab.make({ groups: [{ name: 'storage', resources: ['disk1'], address: true }] });
    const hasta = lab.daemon('hasta').start('-d', '-d', '-d');
    const hastb = lab.daemon('hastb').start('-ddd');
    await untilPaired({ primary: hasta, standby: hastb });
    await hastb.stop();
    const wrong = 'a1'.repeat(32);
    await writeFile(`${lab.secretFile}2`, `${wrong}\n`, { mode: 0o600 });
    await writeFile(
      `${lab.hastateYaml}2`,
      (await readFile(lab.hastateYaml, 'utf8')).replace(lab.secretFile, `${lab.secretFile}2`),
    );
    const stranger = lab.daemon('hastb', { hastateYaml: `${lab.hastateYaml}2` }).start('-dd');
    await stranger.untilRunning();
    await eventually('a refusal', async () => (await hasta.logged(/refused|secret|authent/i)).length > 0);
    const status = JSON.stringify(await hasta.status());
    await hasta.stop();
    await stranger.stop();
    const texts = [status];
    for (const daemon of [hasta, hastb, stranger])
      texts.push(await daemon.log(), JSON.stringify(await journalOf(daemon)));
    expect(await hasta.logged(' debug: ')).not.toEqual([]);
    for (const secret of ['5e'.repeat(32), wrong, 'a password'])
      for (const form of [
        secret,
        Buffer.from(secret).toString('hex'),
        Buffer.from(secret).toString('base64').slice(0, -4),
      ])
        for (const text of texts) expect(text.includes(form)).toBe(false);
  });

  it('goes to syslog as hastate.yaml says, and to standard error as JSON where that is asked for', async () => {
    const received: string[] = [];
    const server = createSocket('udp4').on('message', (data) => received.push(data.toString()));
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
    try {
      const syslog = `{ facility: local0, severity: debug, tag: carp-hast, to: 'udp://127.0.0.1:${server.address().port}' }`;
      lab = await Lab.make({ yaml: [`log: { format: json, syslog: ${syslog} }`] });
      const daemon = lab.daemon('hasta').start();
      await daemon.untilRunning();
      const running = / carp-hast \d+ - - hastated \S+ runs as hasta$/;
      await eventually('its line in syslog', () => received.some((line) => running.test(line)));
      expect(received.every((line) => line.startsWith('<135>1 '))).toBe(true);
      await daemon.stop();
      // The last line too is on its way when the daemon ends.
      await eventually('the last line', () =>
        received.some((line) => line.endsWith('stopping: groups go down first')),
      );
      const lines = (await daemon.log())
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(lines).toContainEqual(
        expect.objectContaining({ node: 'hasta', level: 'info', message: 'stopping: groups go down first' }),
      );
    } finally {
      server.close();
    }
  });

  it.skipIf(needs('bash'))('may lose its reader, and the daemon goes on', async () => {
    lab = await Lab.make();
    const enter = ['bash', '-c', 'exec "$@" 2> >(read line)', 'bash'];
    const daemon = lab.daemon('hasta', { enter }).start('-dd');
    await daemon.promoteAlone('storage');
    await daemon.request('role', { role: 'init', resources: ['disk1'] }, 20_000);
    expect((await daemon.stop()).code).toBe(0);
  });
});
