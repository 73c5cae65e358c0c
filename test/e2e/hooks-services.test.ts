/** The hooks of services with the real ones: nginx, PostgreSQL, tgt. Each listens on loopback, in a directory of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { freeTcpPort } from '../support/free-ports.ts';
import { needs } from '../support/needs.ts';
import { postgresCluster } from '../support/postgres.ts';
import { eventually } from '../support/stamped-clients.ts';
import { type Shipped, shippedHooks } from '../unit/hooks/shipped.ts';

const HOST = '127.0.0.1';
const GOOD = { failure: null, exitCode: 0 };

let dir = '';
let hooks: Shipped;
const undo: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hastate-service-'));
  hooks = await shippedHooks();
});
afterEach(async () => {
  for (const action of undo.splice(0).reverse()) await action();
  await rm(dir, { recursive: true, force: true });
});

describe.skipIf(needs('root', 'nginx'))('the generic service hook with nginx', () => {
  it('starts it, says so, sees it die, starts it again and stops it', async () => {
    const port = await freeTcpPort(HOST);
    await mkdir(join(dir, 'data'));
    await writeFile(join(dir, 'data/index.html'), 'from the device');
    const config = join(dir, 'nginx.conf');
    const pid = join(dir, 'nginx.pid');
    await writeFile(
      config,
      `pid ${pid}; error_log ${dir}/error.log; user root; events {}
http { access_log off; client_body_temp_path ${dir}/body;
  server { listen ${HOST}:${port}; location / { root ${dir}/data; } } }`,
    );
    const nginx = `nginx -c ${config} -e ${dir}/error.log`;
    const params = {
      'start-command': nginx,
      'stop-command': `${nginx} -s quit`,
      port: String(port),
      wait: '10',
    };
    undo.push(() => execa('sh', ['-c', `kill -9 $(cat ${pid})`], { reject: false }));
    const run = (verb: 'start' | 'stop' | 'status') => hooks.run('50-service', verb, params);
    const fetched = async () => (await fetch(`http://${HOST}:${port}/`)).text();

    expect(await run('status')).toMatchObject({ exitCode: 3 });
    expect(await run('start')).toMatchObject(GOOD);
    expect(await fetched()).toBe('from the device');
    expect(await run('start')).toMatchObject(GOOD);
    expect(await run('status')).toMatchObject(GOOD);
    const master = (await readFile(pid, 'utf8')).trim();
    const { stdout: workers } = await execa('ps', ['-o', 'pid=', '--ppid', master]);
    await execa('kill', ['-9', master, ...workers.trim().split(/\s+/)]);
    expect(await run('status')).toMatchObject({ exitCode: 3 });
    expect(await run('start')).toMatchObject(GOOD);
    expect(await fetched()).toBe('from the device');
    expect(await run('stop')).toMatchObject(GOOD);
    expect(await run('status')).toMatchObject({ exitCode: 3 });
  });

  it('says that a service does not come up', async () => {
    const params = { 'start-command': 'nginx -c /nonexistent', 'stop-command': 'true', port: '9' };
    const outcome = await hooks.run('50-service', 'start', params);
    expect(outcome.failure).toContain('it could not be started');
    expect(outcome.output).toContain('/nonexistent');
  });
});

describe.skipIf(needs('root', 'setpriv', 'postgres'))('the PostgreSQL hook', () => {
  it('starts, recovers after kill -9 with every commit, ignores what the other node left, and stops', async () => {
    const cluster = await postgresCluster(join(dir, 'pg'), await freeTcpPort(HOST));
    undo.push(() => cluster.kill());
    // The state directory is root's alone: the default place of the socket must be one that the server's user reaches.
    const sockets = '/var/run/hastate-postgresql-storage';
    undo.push(() => rm(sockets, { recursive: true, force: true }));
    const params = Object.fromEntries(
      Object.entries(cluster.params).filter(([name]) => name !== 'socket-dir'),
    );
    const run = (verb: 'start' | 'stop' | 'status') => hooks.run('60-postgresql', verb, params);

    expect(await run('status')).toMatchObject({ exitCode: 3 });
    expect(await run('start')).toMatchObject(GOOD);
    expect(await run('start')).toMatchObject(GOOD);
    expect(await run('status')).toMatchObject(GOOD);
    expect((await stat(join(sockets, `.s.PGSQL.${cluster.params.port}`))).isSocket()).toBe(true);
    await cluster.sql('create table kept (n int); insert into kept select generate_series(1, 1000)');

    await cluster.kill();
    expect(await run('status')).toMatchObject({ exitCode: 3 });
    // Left by the other node, whose pid is somebody else's here.
    const left = join(cluster.data, 'postmaster.pid');
    const lines = (await readFile(left, 'utf8')).split('\n');
    await writeFile(left, [String(process.pid), ...lines.slice(1)].join('\n'));
    const recovered = await run('start');
    expect(recovered).toMatchObject(GOOD);
    expect(recovered.output).toContain('postmaster.pid was left');
    expect(await cluster.sql('select count(*) from kept')).toBe('1000');

    expect(await run('stop')).toMatchObject(GOOD);
    expect(await run('status')).toMatchObject({ exitCode: 3 });
    expect(await run('stop')).toMatchObject(GOOD);
    await expect(stat(left)).rejects.toThrow();
  });

  it('does not start without its device, and says which hook is missing', async () => {
    const params = { data: join(dir, 'nothing') };
    expect((await hooks.run('60-postgresql', 'start', params)).failure).toContain('is the device mounted');
    expect(await hooks.run('60-postgresql', 'stop', params)).toMatchObject(GOOD);
    expect(await hooks.run('60-postgresql', 'status', params)).toMatchObject({ exitCode: 3 });
  });
});

describe.skipIf(needs('root', 'netns', 'tgtd', 'tgtadm'))('the tgt hook', () => {
  it('offers a disk, keeps to it, and takes it away with its sessions', async () => {
    const disk = join(dir, 'disk');
    await execa('truncate', ['-s', '16M', disk]);
    const params = {
      target: 'iqn.2024-01.org.example:test',
      'control-port': String(10_000 + (process.pid % 20_000)),
      'start-tgtd': 'yes',
      portal: `${HOST}:${await freeTcpPort(HOST)}`,
    };
    undo.push(() => execa('sh', ['-c', `kill -9 $(cat ${hooks.dir}/tgtd-storage.pid)`], { reject: false }));
    const run = (verb: 'start' | 'stop' | 'status') =>
      hooks.run('60-iscsi-tgt', verb, params, { devices: { disk1: disk } });
    expect(await run('status')).toMatchObject({ exitCode: 3 });
    expect(await run('start')).toMatchObject(GOOD);
    expect(await run('start')).toMatchObject(GOOD);
    expect(await run('status')).toMatchObject(GOOD);
    const show = ['-C', params['control-port'], '--lld', 'iscsi', '--mode', 'target', '--op', 'show'];
    const { stdout } = await execa('tgtadm', show);
    expect(stdout).toContain(`Backing store path: ${disk}`);
    expect(stdout.match(/Backing store path: \//g)).toHaveLength(1);
    expect(await run('stop')).toMatchObject(GOOD);
    expect(await run('status')).toMatchObject({ exitCode: 3 });
    // Whoever had the disk open has let go.
    const { stdout: holders } = await execa('fuser', [disk], { reject: false });
    expect(holders).toBe('');
    expect(await run('stop')).toMatchObject(GOOD);
  });

  describe('beside a tgtd of the system', () => {
    const target = 'iqn.2024-01.org.example:test';
    let disk = '';
    let port = '';
    const run = (verb: 'start' | 'stop' | 'status') =>
      hooks.run('60-iscsi-tgt', verb, { target, 'control-port': port }, { devices: { disk1: disk } });
    const tgtadm = (...words: readonly string[]) => execa('tgtadm', ['-C', port, '--lld', 'iscsi', ...words]);

    beforeEach(async () => {
      disk = join(dir, 'disk');
      port = String(10_000 + (process.pid % 20_000));
      await execa('truncate', ['-s', '16M', disk, join(dir, 'other')]);
      const portal = `portal=${HOST}:${await freeTcpPort(HOST)}`;
      const tgtd = spawn('tgtd', ['-f', '-C', port, '--iscsi', portal], { stdio: 'ignore' });
      const gone = once(tgtd, 'exit');
      undo.push(async () => {
        tgtd.kill('SIGKILL');
        await gone;
      });
      await eventually(
        'tgtd',
        () =>
          tgtadm('--mode', 'sys', '--op', 'show').then(
            () => true,
            () => false,
          ),
        10_000,
      );
    });

    it('does not take a tgtd that cannot be asked for one that offers nothing', async () => {
      expect(await run('status')).toMatchObject({ exitCode: 3 });
      expect(await run('start')).toMatchObject(GOOD);
      await rm(`/var/run/tgtd/socket.${port}`);
      expect(await run('status')).toMatchObject({ exitCode: 1 });
      expect((await run('stop')).failure).toContain('tgtadm cannot ask it');
      // One of another control port or network is not the one that was asked.
      const params = { target, 'control-port': port };
      const beside = { ...params, 'control-port': String(Number(port) + 1) };
      expect(await hooks.run('60-iscsi-tgt', 'status', beside)).toMatchObject({ exitCode: 3 });
      const elsewhere = await shippedHooks({ enter: ['unshare', '--net'] });
      expect(await elsewhere.run('60-iscsi-tgt', 'status', params)).toMatchObject({ exitCode: 3 });
    });

    it('does not take the LUN of another disk for its own', async () => {
      const other = join(dir, 'other');
      await tgtadm('--mode', 'target', '--op', 'new', '--tid', '1', '--targetname', target);
      await tgtadm(
        '--mode',
        'logicalunit',
        '--op',
        'new',
        '--tid',
        '1',
        '--lun',
        '1',
        '--backing-store',
        other,
      );
      expect((await run('start')).failure).toContain(`${disk} could not be offered`);
      expect(await run('stop')).toMatchObject(GOOD);
      expect(await run('start')).toMatchObject(GOOD);
      expect((await tgtadm('--mode', 'target', '--op', 'show')).stdout).toContain(`path: ${disk}\n`);
      expect(await run('stop')).toMatchObject(GOOD);
    });
  });

  it('ends its own tgtd that cannot be asked', async () => {
    const port = String(10_000 + (process.pid % 20_000));
    const more = { 'start-tgtd': 'yes', portal: `${HOST}:${await freeTcpPort(HOST)}` };
    const params = { target: 'iqn.2024-01.org.example:test', 'control-port': port, ...more };
    const run = (verb: 'start' | 'stop' | 'status') =>
      hooks.run('60-iscsi-tgt', verb, params, { devices: { disk1: join(dir, 'disk') } });
    await execa('truncate', ['-s', '16M', join(dir, 'disk')]);
    undo.push(() => execa('sh', ['-c', `kill -9 $(cat ${hooks.dir}/tgtd-storage.pid)`], { reject: false }));
    expect(await run('start')).toMatchObject(GOOD);
    await rm(`/var/run/tgtd/socket.${port}`);
    expect(await run('status')).toMatchObject({ exitCode: 1 });
    expect(await run('stop')).toMatchObject(GOOD);
    expect(await run('status')).toMatchObject({ exitCode: 3 });
  });

  it('says that tgtd does not run where it may not start it', async () => {
    const params = { target: 'iqn.2024-01.org.example:test', 'control-port': '31999' };
    const outcome = await hooks.run('60-iscsi-tgt', 'start', params, { devices: { disk1: '/dev/null' } });
    expect(outcome.failure).toContain('start-tgtd: yes');
  });
});

describe.skipIf(needs('sh'))('the mail notification', () => {
  it('hands one mail over, of what is wanted only, and no header of others', async () => {
    const sent = join(dir, 'sent');
    const sendmail = join(dir, 'sendmail');
    await writeFile(sendmail, `#!/bin/sh\ncat >>${sent}\n`, { mode: 0o755 });
    await writeFile(join(hooks.dir, 'mail.conf'), `to=ops@example.org\nsendmail=${sendmail}\n`, {
      mode: 0o644,
    });
    expect(await hooks.notify('10-mail', 'connect', ['disk1'])).toMatchObject(GOOD);
    expect(await hooks.notify('10-mail', 'role', ['disk1', 'secondary', 'prim\nBcc: x@y'])).toMatchObject(
      GOOD,
    );
    const mail = await readFile(sent, 'utf8');
    expect(mail.split('\n').slice(0, 3)).toEqual([
      'To: ops@example.org',
      'Subject: hastate: a: role disk1 secondary prim Bcc: x@y',
      'Auto-Submitted: auto-generated',
    ]);
    expect(mail).not.toContain('connect');
  });

  it('does nothing without settings, and refuses those that others may write', async () => {
    expect(await hooks.notify('10-mail', 'role', ['disk1'])).toMatchObject(GOOD);
    await writeFile(join(hooks.dir, 'mail.conf'), 'to=x\n');
    await execa('chmod', ['666', join(hooks.dir, 'mail.conf')]);
    expect((await hooks.notify('10-mail', 'role', ['disk1'])).failure).toContain('chmod go-w');
  });
});

describe.skipIf(needs('curl'))('the webhook notification', () => {
  async function receiver(answer: number | null) {
    const got: { body: string; secret: string | undefined }[] = [];
    const server: Server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        got.push({ body, secret: request.headers.authorization });
        if (answer === null) return;
        response.statusCode = answer;
        response.end();
      });
    });
    const port = await freeTcpPort(HOST);
    await new Promise<void>((resolve) => server.listen(port, HOST, resolve));
    undo.push(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    const more = 'header=Authorization: Bearer s"ecret\ntimeout=1\nevents=role split-brain\n';
    await writeFile(join(hooks.dir, 'webhook.conf'), `url=http://${HOST}:${port}/x\n${more}`, {
      mode: 0o600,
    });
    return got;
  }

  it('posts what happened as JSON, with its secret', async () => {
    const got = await receiver(204);
    const args = ['disk"1', 'secondary', 'primary'];
    expect(await hooks.notify('20-webhook', 'role', args)).toMatchObject(GOOD);
    expect(await hooks.notify('20-webhook', 'connect', ['disk1'])).toMatchObject(GOOD);
    expect(got).toHaveLength(1);
    expect(got[0]?.secret).toBe('Bearer s"ecret');
    expect(JSON.parse(got[0]?.body ?? '')).toEqual({
      ...{ event: 'role', resource: 'disk"1', args, node: 'a', peer: 'b', reason: 'a test' },
    });
  });

  it.each([
    ['refuses', 500],
    ['never answers', null],
  ])('asks to be tried again when the receiver %s, in bounded time', async (_, answer) => {
    await receiver(answer);
    const outcome = await hooks.notify('20-webhook', 'role', ['disk1', 'secondary', 'primary']);
    expect(outcome).toMatchObject({ exitCode: 75, attempts: 3, timedOut: false });
  });
});
