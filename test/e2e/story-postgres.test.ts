/**
 * A PostgreSQL server on a replicated disk, asked by pgbench without pause, while one machine after the other loses
 * its power: every commit that a client was told of is there afterwards, once.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { LabNode } from '../support/daemon.ts';
import { MKFS } from '../support/device-lab.ts';
import { needs } from '../support/needs.ts';
import { postgresBin } from '../support/postgres-bin.ts';
import { eventually } from '../support/stamped-clients.ts';
import { STORY_NEEDS, StoryPair } from '../support/story-pair.ts';
import { LONG, median, note, STORY_MS } from '../support/story-table.ts';

const STORY = 'PostgreSQL';
const CRASHES = LONG ? 20 : 2;
const CLIENTS = 4;
const COMMITS_A_ROUND = 100;
const PORT = '5432';
const WAIT_MS = 90_000;

/** As pgbench's own, and each commit also leaves its name: who, and the how many-th of the client. */
const TRANSACTION = `\\set aid random(1, 100000)
\\set tid random(1, 10)
\\set delta random(-5000, 5000)
\\set n :n + 1
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = 1;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, 1, :aid, :delta, now());
INSERT INTO commits (round, client, n) VALUES (:round, :client_id, :n);
COMMIT;
`;

describe.skipIf(needs(...STORY_NEEDS, 'mkfs.ext4', 'pgbench', 'setpriv', 'postgres'))(
  'a PostgreSQL server on two machines',
  () => {
    const bin = postgresBin() ?? '';
    let pair: StoryPair;
    let directory = '';
    let clients: ChildProcess | null = null;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'hastate-pgbench-'));
      await writeFile(join(directory, 'transaction.sql'), TRANSACTION);
      pair = await StoryPair.start({
        diskMiB: 256,
        ownHooks: {
          '10-mkfs': MKFS,
          '30-initdb': `[ "$1" = start ] && [ ! -e "$HASTATE_PARAM_DATA/PG_VERSION" ] || exit 0
mkdir -p "$HASTATE_PARAM_DATA" && chown postgres: "$HASTATE_PARAM_DATA" && chmod 755 "$HASTATE_PARAM_DATA/.." &&
exec setpriv --reuid=postgres --regid=postgres --init-groups -- ${bin}/initdb -D "$HASTATE_PARAM_DATA" -A trust`,
        },
        hooks: (perNode) => [
          '10-mkfs: {}',
          ...['20-ext4:', `  mountpoint: ${perNode('mnt')}`],
          ...['30-initdb:', `  data: ${perNode('mnt/pg')}`],
          ...['60-postgresql:', `  data: ${perNode('mnt/pg')}`, `  port: ${PORT}`, '  wait: 60'],
          `  socket-dir: ${perNode('run/pg')}`,
          '  options: -c shared_buffers=16MB -c max_connections=20 -c max_wal_size=64MB',
        ],
      });
      const { hasta } = pair.machines;
      await hasta.must('pgbench', '-i', '-q', ...server('hasta'));
      await sql('hasta', 'create table commits (round int, client int, n int)');
    }, STORY_MS);
    afterAll(async () => {
      clients?.kill('SIGKILL');
      await pair.close();
      await rm(directory, { recursive: true, force: true });
    }, STORY_MS);

    const server = (node: LabNode): string[] => [
      '-h',
      pair.at(node, 'run/pg'),
      '-p',
      PORT,
      '-U',
      'postgres',
      'postgres',
    ];
    const sql = (node: LabNode, text: string): Promise<string> =>
      pair.machines[node].must(join(bin, 'psql'), '-Atq', '-c', text, ...server(node));

    /** They go on until the server is gone, and then tell what they were told. */
    const startClients = (node: LabNode, round: number): ChildProcess => {
      // Not on that machine: it survives its crash.
      const log = ['--log', '--log-prefix', join(directory, `round-${round}`)];
      const variables = ['-D', 'n=0', '-D', `round=${round}`];
      const load = ['-n', '-c', String(CLIENTS), '-T', '600', '-f', join(directory, 'transaction.sql')];
      const words = [...load, ...log, ...variables, ...server(node)];
      return spawn('pgbench', words, { stdio: 'ignore' });
    };
    /** How many commits each client was told of. */
    const acknowledged = async (round: number): Promise<Map<number, number>> => {
      const told = new Map<number, number>();
      for (const name of (await readdir(directory)).filter((one) => one.startsWith(`round-${round}.`)))
        for (const line of (await readFile(join(directory, name), 'utf8')).split('\n').slice(0, -1)) {
          const client = Number(line.split(' ')[0]);
          told.set(client, (told.get(client) ?? 0) + 1);
        }
      return told;
    };
    /** Commits that a client was told of and that are not there, and such as are there twice. */
    const wrong = async (node: LabNode, round: number, told: Map<number, number>): Promise<string[]> => {
      const rows = await sql(
        node,
        `select client, n, count(*) from commits where round = ${round} group by 1, 2`,
      );
      const there = new Map(rows.split('\n').map((row) => [row.split('|').slice(0, 2).join('|'), row]));
      const found = [...there.values()].filter((row) => !row.endsWith('|1'));
      for (const [client, count] of told)
        for (let n = 1; n <= count; n++) if (!there.has(`${client}|${n}`)) found.push(`lost: ${client}|${n}`);
      return found;
    };

    it(
      `loses no commit that a client was told of in ${CRASHES} crashes, and its sums agree`,
      { timeout: STORY_MS },
      async () => {
        const took: number[] = [];
        let total = 0;
        for (let round = 1; round <= CRASHES; round++) {
          const [from, to]: [LabNode, LabNode] = round % 2 === 1 ? ['hasta', 'hastb'] : ['hastb', 'hasta'];
          await pair.untilPaired(from);
          clients = startClients(from, round);
          const gone = once(clients, 'exit');
          await eventually(
            'commits',
            async () =>
              Number(await sql(from, `select count(*) from commits where round = ${round}`)) >
              COMMITS_A_ROUND,
            WAIT_MS,
          );
          const at = performance.now();
          await pair.crash(from);
          await gone;
          await pair.daemons[to].untilPrimary('storage', WAIT_MS);
          await sql(to, `insert into commits values (0, 0, ${round})`);
          took.push(performance.now() - at);
          const told = await acknowledged(round);
          const sum = [...told.values()].reduce((a, b) => a + b, 0);
          expect(sum).toBeGreaterThan(COMMITS_A_ROUND / 2);
          expect(await wrong(to, round, told)).toEqual([]);
          total += sum;
          await pair.reboot(from);
        }
        const last = CRASHES % 2 === 1 ? 'hastb' : 'hasta';
        const sums = await sql(
          last,
          `select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
        (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history)`,
        );
        expect(new Set(sums.split('|')).size).toBe(1);
        // What was committed but never told may be there, too: at most one a client and crash.
        const [history = 0, commits = 0] = (
          await sql(
            last,
            'select (select count(*) from pgbench_history), (select count(*) from commits where round > 0)',
          )
        )
          .split('|')
          .map(Number);
        expect(history).toBe(commits);
        expect(history).toBeGreaterThanOrEqual(total);
        expect(history).toBeLessThanOrEqual(total + CLIENTS * CRASHES);
        await pair.untilPaired(last);
        expect(await sql(last, 'select count(*) from commits where round = 0')).toBe(String(CRASHES));
        note({
          story: STORY,
          what: `commits lost of ${total} in ${CRASHES} crashes`,
          value: 0,
          unit: '',
          goal: 0,
        });
        note({ story: STORY, what: 'crash to the next commit', value: median(took) });
      },
    );
  },
);
