/** What resets a node that cannot let go: systemd's watchdog, a file, a program of the operator's. */
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { type LabDaemon } from '../support/daemon.ts';
import { journalOf } from '../support/failover.ts';
import { Lab } from '../support/lab.ts';
import { needs } from '../support/needs.ts';
import { eventually } from '../support/stamped-clients.ts';
import { type DatagramReceiver, receiveDatagrams } from '../support/unix-datagrams.ts';

describe.skipIf(needs('koffi'))('the watchdog', () => {
  let lab: Lab;
  let manager: DatagramReceiver;
  let said: string[] = [];

  beforeEach(async () => {
    lab = await Lab.make({
      groups: [{ name: 'storage', resources: ['disk1'], hooks: ['10-service'] }],
      yaml: ['watchdog: { stuck-after: 1s, file: DIR/alive, program: DIR/reset }'],
    });
    await lab.edit(lab.hastateYaml, (text) => text.replaceAll('DIR', lab.directory));
    manager = receiveDatagrams(join(lab.directory, 'notify'));
    said = [];
  });
  afterEach(async () => {
    manager.close();
    await lab.close();
  });

  const heard = (): string[] => {
    said.push(...manager.take());
    return said;
  };
  /** As systemd starts a service with `WatchdogSec`. */
  const start = (): LabDaemon => {
    Object.assign(process.env, { NOTIFY_SOCKET: join(lab.directory, 'notify'), WATCHDOG_USEC: '600000' });
    try {
      return lab.daemon('hasta').start();
    } finally {
      for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC']) Reflect.deleteProperty(process.env, name);
    }
  };

  it('is fed while all is well, and starved by a group that cannot go down, whose node is then reset', async () => {
    const hang = join(lab.directory, 'hang');
    await lab.writeHook(
      '10-service',
      `# hastate: timeout=20s grace=1s\nenv >>"${lab.directory}/env"\n[ "$1" = start ] || while [ -e "${hang}" ]; do sleep 0.1; done`,
    );
    await writeFile(join(lab.directory, 'reset'), `#!/bin/sh\necho "$@" >"${lab.directory}/reset.said"\n`, {
      mode: 0o755,
    });
    await writeFile(hang, '');
    const hasta = start();
    await eventually('ready', () => Promise.resolve(heard().includes('READY=1')));
    await eventually('fed', () =>
      Promise.resolve(heard().filter((text) => text === 'WATCHDOG=1').length > 2),
    );
    await hasta.promoteAlone('storage');
    expect(await readFile(join(lab.directory, 'env'), 'utf8')).not.toMatch(/NOTIFY_SOCKET|WATCHDOG/);

    hasta.signal('SIGTERM');
    const reset = join(lab.directory, 'reset.said');
    await eventually('reset', () =>
      stat(reset).then(
        () => true,
        () => false,
      ),
    );
    expect(await readFile(reset, 'utf8')).toBe('reset hasta group storage cannot go down for 1 s\n');
    expect((await journalOf(hasta)).map(({ kind }) => kind)).toContain('watchdog.starved');
    // The program ran a whole round after the last sign of life, and none came since.
    const fed = (await stat(join(lab.directory, 'alive'))).mtimeMs;
    expect(fed).toBeLessThan((await stat(reset)).mtimeMs);
    await rm(hang);
    await hasta.ended;
    expect(heard()).toContain('STOPPING=1');
  });
});
