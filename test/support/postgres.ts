/** A real PostgreSQL cluster for tests, made by its own `initdb`, with the parameters that our hook takes. */
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';

import { postgresBin } from './postgres-bin.ts';

export interface PostgresCluster {
  readonly data: string;
  /** For `60-postgresql`. */
  readonly params: Readonly<
    Record<'data' | 'port' | 'socket-dir' | 'listen' | 'options' | 'wait' | 'log', string>
  >;
  /** Runs statements and returns what they print. @throws ExecaError */
  sql(text: string): Promise<string>;
  /** kill -9 of the server and all its processes, as a crash; it may be down already. */
  kill(): Promise<void>;
}

/** @param data directory to be made; the user `postgres` must be able to reach it */
export async function postgresCluster(data: string, port: number): Promise<PostgresCluster> {
  const bin = postgresBin();
  if (bin === null) throw new Error('PostgreSQL is not installed');
  await chmod(dirname(data), 0o755);
  const sockets = `${data}-socket`;
  for (const dir of [data, sockets]) {
    await mkdir(dir, { recursive: true });
    await execa('chown', ['postgres:', dir]);
  }
  const as = ['--reuid=postgres', '--regid=postgres', '--init-groups', '--'];
  await execa('setpriv', [...as, join(bin, 'initdb'), '-D', data, '-A', 'trust', '--no-sync'], { cwd: '/' });
  return {
    data,
    params: {
      ...{
        data,
        port: String(port),
        'socket-dir': sockets,
        listen: '127.0.0.1',
        wait: '60',
        log: `${sockets}/log`,
      },
      options: '-c shared_buffers=16MB -c max_connections=20',
    },
    sql: async (text) => {
      const args = ['-U', 'postgres', '-h', '127.0.0.1', '-p', String(port), '-Atq', '-c', text, 'postgres'];
      return (await execa(join(bin, 'psql'), args)).stdout;
    },
    kill: async () => {
      const pid = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0] ?? '';
      if (pid === '' || Number(pid) === process.pid) return;
      const { stdout } = await execa('ps', ['-o', 'pid=', '--ppid', pid], { reject: false });
      await execa('kill', ['-9', pid, ...stdout.trim().split(/\s+/).filter(Boolean)], { reject: false });
      for (let alive = true; alive;) {
        const { stdout: state } = await execa('ps', ['-o', 'stat=', '-p', pid], { reject: false });
        alive = state !== '' && !state.startsWith('Z');
      }
    },
  };
}
