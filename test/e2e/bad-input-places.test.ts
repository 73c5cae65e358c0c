/** Disks, sockets and ports that somebody else has: refused clearly, and whoever has them is not harmed. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { groupOf, hastated, type LabDaemon, resourceOf } from '../support/daemon.ts';
import { freeTcpPort, holdTcpPort } from '../support/free-ports.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';

const EX_OSERR = 71;
const STARTED_MS = 10_000;

let lab: Lab;
let held: Server | null;
beforeEach(() => {
  held = null;
});
afterEach(async () => {
  held?.close();
  await lab.close();
});

/** The last words of a daemon that could not start. */
async function lastLine(daemon: LabDaemon): Promise<string> {
  return (await daemon.log()).trimEnd().split('\n').at(-1) ?? '';
}

describe('a second daemon', () => {
  let first: LabDaemon;
  beforeEach(async () => {
    lab = await Lab.make();
    first = lab.daemon('hasta').start();
    await first.promoteAlone('storage');
  });

  async function firstIsUnharmed(): Promise<void> {
    const status = await first.status();
    expect(groupOf(status, 'storage').state).toBe('primary.serving');
    expect(resourceOf(status, 'disk1').error).toBeNull();
    expect((await first.stop()).code).toBe(0);
  }

  it('of the same node ends at its control socket', async () => {
    const second = lab.daemon('hasta', {
      stateDir: join(lab.directory, 'other'),
      log: join(lab.directory, 'other.log'),
    });
    expect(await second.start().endsWithin(STARTED_MS)).toEqual({ code: EX_OSERR, signal: null });
    expect(await second.log()).toBe(
      `hastated: a daemon already answers on control socket ${lab.places.hasta.control}; stop it, or choose another 'control' in hast.conf\n`,
    );
    await firstIsUnharmed();
  });

  it('says so also when it was started in the background', async () => {
    const { control } = lab.places.hasta;
    const files = ['-c', lab.hastConf, '-C', lab.hastateYaml, '-n', 'hasta'];
    const { code, stderr } = await hastated(...files, '--state-dir', join(lab.directory, 'other'));
    expect([code, stderr.split('\n').length]).toEqual([EX_OSERR, 2]);
    expect(stderr).toContain(`a daemon already answers on control socket ${control}`);
    await firstIsUnharmed();
  });

  it.skipIf(needs('@ronomon/direct-io'))('of the same disk does not get it', async () => {
    const { control, dataPort, peerPort, host } = lab.places.hasta;
    const at = (name: string): string => join(lab.directory, name);
    const hastConf = (await readFile(lab.hastConf, 'utf8'))
      .replace(control, at('second.sock'))
      .replace(`listen tcp4://${host}:${dataPort}`, `listen tcp4://${host}:${await freeTcpPort(host)}`);
    const hastateYaml = (await readFile(lab.hastateYaml, 'utf8')).replace(
      `${host}:${peerPort}`,
      `${host}:${await freeTcpPort(host)}`,
    );
    await writeFile(at('second.conf'), hastConf);
    await writeFile(at('second.yaml'), hastateYaml);
    const second = lab.daemon('hasta', {
      ...{ hastConf: at('second.conf'), hastateYaml: at('second.yaml'), control: at('second.sock') },
      ...{ stateDir: at('second'), log: at('second.log') },
    });
    await second.start().untilRunning();
    const { error } = resourceOf(await second.status(), 'disk1');
    expect(error).toContain(`${lab.places.hasta.disk('disk1')} is held by `);
    expect(error).toContain(`(pid ${first.pid})`);
    expect(error).toContain('stop that first');
    await expect(
      second.request('promote', { group: 'storage', force: true, reason: 'a test' }),
    ).rejects.toThrow(/is held by/);
    expect(await second.stop()).toEqual({ code: 0, signal: null });
    await firstIsUnharmed();
  });
});

describe('a port that somebody else has', () => {
  it('ends the daemon with one line when it is the port of the data link', async () => {
    lab = await Lab.make();
    const { host, dataPort } = lab.places.hasta;
    held = await holdTcpPort(host, dataPort);
    const daemon = lab.daemon('hasta').start();
    expect(await daemon.endsWithin(STARTED_MS)).toEqual({ code: EX_OSERR, signal: null });
    expect(await lastLine(daemon)).toBe(
      `hastated: cannot listen for the data link on tcp4://${host}:${dataPort} (EADDRINUSE): another program does, perhaps hastd; end it, or change 'listen' in hast.conf`,
    );
  });

  it('ends the daemon with one line when it is the port of the peer channel', async () => {
    lab = await Lab.make();
    const { host, peerPort } = lab.places.hasta;
    held = await holdTcpPort(host, peerPort);
    const daemon = lab.daemon('hasta').start();
    expect(await daemon.endsWithin(STARTED_MS)).toEqual({ code: EX_OSERR, signal: null });
    expect(await lastLine(daemon)).toBe(
      `hastated: cannot listen for the peer on ${host}:${peerPort} (EADDRINUSE): another program uses it; end it, or change this node's \`peer\` under \`nodes:\``,
    );
    expect(await daemon.logged('EADDRINUSE')).toHaveLength(1);
  });

  it('is a warning when it is the port of the page, which is not worth a failover', async () => {
    const port = await freeTcpPort('127.0.0.1');
    held = await holdTcpPort('127.0.0.1', port);
    lab = await Lab.make({ yaml: [`visualizer: { listen: '127.0.0.1:${port}' }`] });
    const daemon = lab.daemon('hasta').start();
    await daemon.promoteAlone('storage');
    const { warnings } = await daemon.status();
    expect(warnings).toEqual([expect.stringContaining(`the page cannot listen on 127.0.0.1:${port}`)]);
    expect(await daemon.logged('the page cannot listen')).toHaveLength(1);
  });

  it('is free again after a daemon that could not start: the next one starts', async () => {
    lab = await Lab.make();
    const { host, peerPort } = lab.places.hasta;
    held = await holdTcpPort(host, peerPort);
    const daemon = lab.daemon('hasta').start();
    await daemon.endsWithin(STARTED_MS);
    await new Promise((resolve) => held?.close(resolve));
    await daemon.start().untilRunning();
    expect((await daemon.stop()).code).toBe(0);
  });
});
