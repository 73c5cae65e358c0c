import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import { parseHastate } from '../../../src/config/hastate-yaml.ts';
import { Journal } from '../../../src/daemon/journal.ts';
import { Notices, NoticeSource } from '../../../src/daemon/notices.ts';
import type { JournalEvent } from '../../../src/protocol/control.ts';

const state = (value: unknown) => ({
  kind: 'resource.state',
  resource: 'disk1',
  message: '',
  data: { value },
});
const engine = (kind: string) => ({ kind: `engine.${kind}`, resource: 'disk1', message: '' });

describe("hastd's events", () => {
  function told(...entries: Parameters<NoticeSource['take']>[0][]): string[] {
    const source = new NoticeSource();
    return entries.flatMap((entry) => {
      const notice = source.take(entry);
      return notice === null ? [] : [[notice.event, ...notice.args].join(' ')];
    });
  }
  const primary = [
    state('init'),
    state('preparing'),
    state('prepared'),
    state({ primary: { peer: 'degraded' } }),
  ];
  const secondary = [state('init'), state('becomingSecondary'), state({ secondary: 'waiting' })];

  it('tell a role with the one before it, once, and not on the way', () => {
    expect(
      told(
        ...secondary,
        state({ secondary: 'connected' }),
        ...primary.slice(1),
        state('releasing'),
        state('init'),
      ),
    ).toEqual(['role disk1 init secondary', 'role disk1 secondary primary', 'role disk1 primary init']);
  });

  it('tell nothing of a role when an engine fails, and the change when it is back', () => {
    expect(told(...secondary, state('failed'), state('opening'))).toEqual(['role disk1 init secondary']);
    expect(told(...secondary, state('failed'), state('opening'), state('init'))).toContain(
      'role disk1 secondary init',
    );
  });

  it('tell of connections at both nodes and of a synchronization at the primary only', () => {
    const all = ['connected', 'sync-started', 'sync-interrupted', 'sync-done', 'disconnected'].map(engine);
    expect(told(...secondary, ...all).slice(1)).toEqual(['connect disk1', 'disconnect disk1']);
    expect(told(...primary, ...all).slice(1)).toEqual([
      'connect disk1',
      'syncstart disk1',
      'syncintr disk1',
      'syncdone disk1',
      'disconnect disk1',
    ]);
  });

  it('tell of a split-brain once, whichever path shows it, and again after a connection', () => {
    const record = { kind: 'record.split-brain', resource: 'disk1', message: '' };
    const split = engine('split-brain');
    expect(told(split, record, split, engine('connected'), record)).toEqual([
      'split-brain disk1',
      'connect disk1',
      'split-brain disk1',
    ]);
  });

  it('tell nothing of anything else', () => {
    const group = { kind: 'engine.connected', message: '' };
    expect(told(group, engine('held'), engine('record'), engine('sync-progress'))).toEqual([]);
  });
});

describe.skipIf(process.platform !== 'linux')('the programs that are told', () => {
  let directory: string;
  let calls: string;
  let journal: Journal;
  let notices: Notices;
  let exec: string | null;

  const at = (...words: string[]): string => join(directory, ...words);

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-notices-'));
    calls = at('calls');
    exec = at('exec.sh');
    await writeFile(calls, '');
    await mkdir(at('hooks', 'notify.d'), { recursive: true });
  });
  afterEach(async () => {
    await notices.close();
    await journal.close();
    await rm(directory, { recursive: true });
  });

  async function script(path: string, body: string, mode = 0o755): Promise<void> {
    await writeFile(path, `#!/bin/sh\n${body}\n`);
    await chmod(path, mode);
  }

  function start(): void {
    const words = exec === null ? '' : `exec ${exec}`;
    const text = ['a', 'b'].map((name) => `resource ${name} { ${words} local /x on hasta { remote none } }`);
    const identity = { hostname: 'hasta', hostuuid: null, hostid: null };
    const hast = resolveHastConf(parseHastConf(text.join('\n'), 'hast.conf'), { identity });
    const settings = parseHastate('visualizer: off', 'hastate.yaml', hast);
    journal = new Journal({
      node: 'hasta',
      stateDir: directory,
      now: () => performance.now(),
      log: () => undefined,
    });
    const runtime = { node: 'hasta', hast, settings, stateDir: directory, journal, log: () => undefined };
    notices = new Notices({ runtime, hooksDir: () => at('hooks'), outputDir: at('outputs') });
  }

  function happens(kind: string, resource = 'a', data?: Record<string, unknown>): void {
    journal.add({ kind, level: 'info', message: 'why', resource, ...(data === undefined ? {} : { data }) });
  }

  function said(kind = 'exec.exited'): JournalEvent[] {
    return journal.recent().filter((event) => event.kind === kind);
  }

  async function until(what: string, reached: () => boolean): Promise<void> {
    const deadline = performance.now() + 20_000;
    while (!reached()) {
      if (performance.now() > deadline)
        throw new Error(`not within 20 s: ${what}\n${JSON.stringify(journal.recent())}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  it("get hastd's arguments and the daemon's environment", async () => {
    await script(
      at('exec.sh'),
      `echo "$# $*" >> ${calls}; [ -n "$HOME" ] && [ "$HOME" = "${process.env['HOME'] ?? ''}" ] && echo env >> ${calls}`,
    );
    start();
    happens('resource.state', 'a', { value: { primary: {} } });
    happens('engine.connected');
    for (const kind of ['sync-started', 'sync-interrupted', 'sync-done', 'disconnected', 'split-brain'])
      happens(`engine.${kind}`);
    await until('seven events', () => said().length === 7);
    const lines = (await readFile(calls, 'utf8')).trim().split('\n');
    expect(lines.filter((line) => line !== 'env')).toEqual([
      '4 role a init primary',
      ...['connect', 'syncstart', 'syncintr', 'syncdone', 'disconnect', 'split-brain'].map(
        (event) => `2 ${event} a`,
      ),
    ]);
    expect(lines.filter((line) => line === 'env')).toHaveLength(7);
    expect(said()[0]).toMatchObject({ level: 'info', resource: 'a' });
    expect(said()[0]?.message).toMatch(/^a: exec \S+exec\.sh role a init primary: done in \d+ ms$/);
  });

  it('are called one after the other for a resource, and at once for two', async () => {
    // Each `a` waits until both `b` have been called: in one queue that would never be.
    await script(
      at('exec.sh'),
      `echo "begin $*" >> ${calls}
[ "$2" = b ] || while [ "$(grep -c 'begin.* b$' ${calls})" != 2 ]; do sleep 0.02; done
echo "end $*" >> ${calls}`,
    );
    start();
    for (const resource of ['a', 'a', 'b', 'b']) happens('engine.connected', resource);
    await until('four ends', () => said().length === 4);
    const lines = (await readFile(calls, 'utf8')).trim().split('\n');
    for (const resource of ['a', 'b']) {
      expect(lines.filter((line) => line.endsWith(` ${resource}`)).map((line) => line.split(' ')[0])).toEqual(
        ['begin', 'end', 'begin', 'end'],
      );
    }
  });

  it('are ended with all they started at their time, and the next event is told', async () => {
    await script(
      at('exec.sh'),
      `# hastate: timeout=300ms grace=100ms
echo $$ >> ${calls}
[ "$1" = connect ] && { echo stuck; trap '' TERM; sleep 60 & wait; sleep 60; }
exit 0`,
    );
    start();
    happens('engine.connected');
    happens('engine.disconnected');
    await until('both', () => said().length === 2);
    expect(said()[0]).toMatchObject({ level: 'error', data: { timedOut: true, groupGone: true } });
    expect(said()[0]?.message).toMatch(/connect a: timed out after 0\.3 s and was ended: stuck \(\d+ ms\)$/);
    expect(said()[1]).toMatchObject({ level: 'info', data: { exitCode: 0 } });
  });

  it('that fail are told with exit code or signal and their last words', async () => {
    await script(at('exec.sh'), `echo first; echo last; [ "$1" = connect ] && exit 3; kill -9 $$`);
    start();
    happens('engine.connected');
    happens('engine.disconnected');
    await until('both', () => said().length === 2);
    expect(
      said().map(({ level, message, data }) => [
        level,
        message.replace(/\d+ ms/, 'N ms').replace(/exec \S+/, 'exec'),
        data?.['signal'],
      ]),
    ).toEqual([
      ['error', 'a: exec connect a: exited with 3: last (N ms): first\nlast', null],
      ['error', 'a: exec disconnect a: was ended by SIGKILL: last (N ms): first\nlast', 'SIGKILL'],
    ]);
  });

  it('are refused by name when others may change them, and once', async () => {
    await script(at('exec.sh'), 'exit 0', 0o777);
    start();
    happens('engine.connected');
    happens('engine.disconnected');
    happens('engine.connected', 'b');
    await until('both resources', () => said('exec.refused').length === 2);
    await notices.close();
    // Resources do not wait for each other.
    const refused = said('exec.refused').map(({ message }) => message);
    expect(refused.toSorted()).toEqual([
      expect.stringContaining(`a: exec cannot be run: ${at('exec.sh')} is writable by everybody`),
      expect.stringContaining('b: exec cannot be run'),
    ]);
  });

  it('drop the oldest when too many wait, and it is said which', async () => {
    await script(
      at('exec.sh'),
      `echo "$1" >> ${calls}; [ "$1" = split-brain ] && while [ ! -e ${at('go')} ]; do sleep 0.02; done; exit 0`,
    );
    start();
    happens('engine.split-brain');
    await until('the first', () => said('engine.split-brain').length === 1);
    for (let i = 0; i < 66; i++) happens('engine.disconnected');
    expect(said('exec.dropped').map(({ message }) => message)).toHaveLength(2);
    expect(said('exec.dropped')[0]?.message).toContain("a: nobody was told of 'disconnect a'");
    await writeFile(at('go'), '');
    await until('all that waited', () => said().length === 65);
  });

  it('are also the hooks of notify.d, with the same arguments and a clean environment', async () => {
    exec = null;
    await script(
      at('hooks', 'notify.d', '10-tell'),
      `echo "10 $* $HASTATE_NODE $HASTATE_REASON $HOME" >> ${calls}`,
    );
    await script(at('hooks', 'notify.d', '20-tell'), `echo "20 $*" >> ${calls}`);
    await script(at('hooks', 'notify.d', '30-open'), 'exit 0', 0o777);
    start();
    happens('resource.state', 'a', { value: { secondary: 'waiting' } });
    await until('both', () => said().length === 2);
    expect(await readFile(calls, 'utf8')).toBe(
      '10 role a init secondary hasta why \n20 role a init secondary\n',
    );
    expect(said('exec.refused')[0]?.message).toContain('30-open may not run');
  });

  it('run nicer than the daemon, so that a failover need not wait for processors with them', async () => {
    exec = null;
    const nice = getPriority() + 10;
    await script(
      at('hooks', 'notify.d', '10-nice'),
      `# hastate: timeout=10s\nuntil [ "$(ps -o ni= -p $$)" -eq ${nice} ]; do sleep 0.02; done`,
    );
    start();
    happens('engine.connected');
    await until('it was told', () => said().length === 1);
    expect(said()[0]?.level).toBe('info');
  });

  it('hear of the last events before the daemon ends', async () => {
    await script(at('exec.sh'), `echo "$1" >> ${calls}`);
    start();
    happens('engine.connected');
    happens('engine.disconnected');
    await notices.close();
    expect(await readFile(calls, 'utf8')).toBe('connect\ndisconnect\n');
    happens('engine.connected');
    await notices.close();
    expect(await readFile(calls, 'utf8')).toBe('connect\ndisconnect\n');
  });
});
