import { mkdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { hookIsStuck, hookSucceeded, serviceState } from '../../../src/model/hook.ts';
import type { HookStep } from '../../../src/model/hook.ts';
import { OUTPUT_FILE_BYTES, OUTPUT_TAIL_BYTES, boundOutputs } from '../../../src/hooks/output-file.ts';
import { runHook } from '../../../src/hooks/run.ts';
import { needs } from '../../support/needs.ts';
import { eventually, isAlive, script, stepFor, temporaryDir } from './hook-dir.ts';

async function run(body: string, changes: Partial<HookStep> = {}, signal = new AbortController().signal) {
  const dir = await temporaryDir();
  const path = await script(join(dir, '20-thing'), body);
  const outputDir = join(dir, 'out');
  const step = stepFor(path, { env: { PATH: process.env['PATH'] ?? '', DIR: dir }, ...changes });
  const outcome = await runHook(step, { signal, outputDir, log: () => undefined });
  const pid = async (name: string) => Number(await readFile(join(dir, name), 'utf8').catch(() => ''));
  return { outcome, dir, outputDir, pid };
}

/** Waits until the file is short again: what is printed in the instant of a cut is lost. */
const UNTIL_CUT = `n=0
  until [ "$(wc -c < "$DIR/out/storage.20-thing.start.out")" -le ${OUTPUT_FILE_BYTES} ]; do
    n=$((n + 1)); [ $n -lt 200 ] || exit 1; sleep 0.05
  done`;

describe('runHook', () => {
  it('hands the verb and the arguments over and keeps stdout and stderr in order', async () => {
    const { outcome } = await run('echo "$@"; echo trouble >&2; echo end', { args: ['disk1', 'init'] });
    expect(outcome).toMatchObject({
      exitCode: 0,
      attempts: 1,
      failure: null,
      output: 'start disk1 init\ntrouble\nend\n',
    });
    expect(hookSucceeded(outcome)).toBe(true);
  });

  it('gives the hook the environment of its step and nothing of ours', async () => {
    process.env['LEAKED_SECRET'] = 'x';
    const { outcome } = await run('/usr/bin/env', { env: { PATH: '/bin', HASTATE_VERB: 'start' } });
    const names = outcome.output
      .trim()
      .split('\n')
      .map((line) => line.split('=')[0]);
    expect(names.filter((name) => name !== 'PWD' && name !== '_').sort()).toEqual([
      'HASTATE_RUN',
      'HASTATE_VERB',
      'PATH',
    ]);
  });

  it('reports a failing exit with the last line that the hook printed', async () => {
    const { outcome } = await run('echo first; echo "mount: no such device"; exit 7');
    expect(outcome).toMatchObject({ exitCode: 7, failure: 'exited with 7: mount: no such device' });
    expect(hookSucceeded(outcome)).toBe(false);
  });

  it('reports a hook that dies of a signal as failed', async () => {
    const { outcome } = await run('kill -SEGV $$');
    expect(outcome).toMatchObject({ exitCode: null, signal: 'SIGSEGV', timedOut: false });
    expect(hookSucceeded(outcome)).toBe(false);
  });

  it('tries again while the hook exits with 75 and counts the attempts', async () => {
    const { outcome } = await run('echo try >> "$DIR/n"; [ "$(wc -l < "$DIR/n")" -ge 3 ] || exit 75', {
      retries: 5,
    });
    expect(outcome).toMatchObject({ exitCode: 0, attempts: 3 });
  });

  it('gives up after the last retry and never takes 75 for success', async () => {
    const { outcome } = await run('exit 75', { retries: 2 });
    expect(outcome).toMatchObject({ exitCode: 75, attempts: 3 });
    expect(hookSucceeded(outcome)).toBe(false);
  });

  it('ends a hook that hangs with TERM, and nothing of it is left', async () => {
    const { outcome, pid } = await run('sleep 1000 & echo $! > "$DIR/child"; wait', { timeoutMs: 500 });
    expect(outcome).toMatchObject({ timedOut: true, groupGone: true, attempts: 1 });
    const child = await pid('child');
    expect(child).toBeGreaterThan(0);
    await eventually(() => Promise.resolve(isAlive(child) ? null : true));
  });

  it('kills a hook that ignores TERM after the grace', async () => {
    const { outcome } = await run('trap "" TERM; while :; do sleep 0.1; done', {
      timeoutMs: 500,
      graceMs: 200,
    });
    expect(outcome).toMatchObject({ timedOut: true, groupGone: true, signal: 'SIGKILL' });
  });

  it('does not call it success when the hook answers TERM with exit 0', async () => {
    const { outcome } = await run('trap "exit 0" TERM; while :; do sleep 0.05; done', { timeoutMs: 500 });
    expect(outcome).toMatchObject({ exitCode: 0, timedOut: true });
    expect(hookSucceeded(outcome)).toBe(false);
  });

  it.skipIf(process.platform !== 'linux')(
    'also ends what left the group of a hook that timed out',
    async () => {
      const { outcome, pid } = await run('setsid sh -c \'echo $$ > "$DIR/child"; exec sleep 1000\'', {
        timeoutMs: 700,
      });
      expect(outcome).toMatchObject({ timedOut: true, groupGone: true });
      const child = await pid('child');
      expect(child).toBeGreaterThan(0);
      await eventually(() => Promise.resolve(isAlive(child) ? null : true));
    },
  );

  it('is done when its leader exits although a service keeps stdout open, and leaves the service alone', async () => {
    const { outcome, pid } = await run('( trap "" HUP; echo up; exec sleep 1000 ) & echo $! > "$DIR/child"');
    const service = await pid('child');
    try {
      expect(outcome).toMatchObject({ exitCode: 0, timedOut: false, groupGone: false });
      expect(outcome.durationMs).toBeLessThan(10_000);
      expect(isAlive(service)).toBe(true);
    } finally {
      process.kill(service, 'SIGKILL');
    }
  });

  it('keeps the end of 1 GiB of output and little of the rest', async () => {
    const { outcome, outputDir } = await run(
      `head -c 1073741824 /dev/zero; ${UNTIL_CUT}; echo; echo the end`,
    );
    expect(outcome.exitCode).toBe(0);
    expect(outcome.output.length).toBeLessThanOrEqual(OUTPUT_TAIL_BYTES);
    expect(outcome.output.endsWith('the end\n')).toBe(true);
    const { size } = await stat(join(outputDir, 'storage.20-thing.start.out'));
    expect(size).toBeLessThanOrEqual(OUTPUT_FILE_BYTES);
  });

  it('cuts the file back while the hook is still running', async () => {
    const { outcome } = await run(`head -c 20971520 /dev/zero; ${UNTIL_CUT}`);
    expect(outcome.exitCode).toBe(0);
  });

  it('cuts what a service printed long after its hook ended', async () => {
    const { outputDir } = await run('echo up');
    const path = join(outputDir, 'storage.20-thing.start.out');
    await writeFile(path, Buffer.alloc(OUTPUT_FILE_BYTES + 1));
    expect(await boundOutputs(outputDir)).toEqual([path]);
    expect((await stat(path)).size).toBe(0);
    expect(await boundOutputs(outputDir)).toEqual([]);
  });

  it('says so when the program of the first line does not exist', async () => {
    const dir = await temporaryDir();
    const path = join(dir, '20-thing');
    await writeFile(path, '#!/no/such/shell\n', { mode: 0o755 });
    const outcome = await runHook(stepFor(path), {
      signal: new AbortController().signal,
      outputDir: join(dir, 'out'),
      log: () => undefined,
    });
    expect(outcome).toMatchObject({ exitCode: null, groupGone: true, timedOut: false });
    expect(outcome.failure).toContain('#!');
    expect(hookSucceeded(outcome)).toBe(false);
  });

  it('runs the hook even if its output cannot be kept', async () => {
    const dir = await temporaryDir();
    const path = await script(join(dir, '20-thing'), 'touch "$DIR/ran"');
    const warnings: string[] = [];
    const outcome = await runHook(stepFor(path, { env: { PATH: '/bin:/usr/bin', DIR: dir } }), {
      signal: new AbortController().signal,
      outputDir: path,
      log: (_level, message) => warnings.push(message),
    });
    expect(hookSucceeded(outcome)).toBe(true);
    expect(warnings).toHaveLength(1);
  });

  it('ends a running hook when it is no longer wanted', async () => {
    const wanted = new AbortController();
    const dir = await temporaryDir();
    const path = await script(join(dir, '20-thing'), 'touch "$DIR/up"; sleep 1000');
    const running = runHook(stepFor(path, { env: { PATH: '/bin:/usr/bin', DIR: dir } }), {
      signal: wanted.signal,
      outputDir: join(dir, 'out'),
      log: () => undefined,
    });
    await eventually(() => stat(join(dir, 'up')).catch(() => null));
    wanted.abort();
    expect(await running).toMatchObject({ aborted: true, timedOut: false, groupGone: true });
  });

  it('does not start a hook that is no longer wanted', async () => {
    const { outcome } = await run('echo ran', {}, AbortSignal.abort());
    expect(outcome).toMatchObject({ attempts: 0, aborted: true, groupGone: true, output: '' });
  });

  it('reads status 0 as running, 3 as stopped, all else as failed', async () => {
    const states = ['exit 0', 'exit 3', 'exit 1'].map(async (body) =>
      serviceState((await run(body)).outcome),
    );
    expect(await Promise.all(states)).toEqual(['running', 'stopped', 'failed']);
  });
});

/** A frozen task does not even die of KILL: what a process waiting for a dead device looks like. */
const FREEZER = '/sys/fs/cgroup/freezer';

describe.skipIf(needs('root') || !(await stat(FREEZER).catch(() => null)))(
  'a hook that survives KILL',
  () => {
    it('is stuck, said within the bound', async () => {
      const cgroup = join(FREEZER, `hastate-test-${process.pid}`);
      await mkdir(cgroup);
      try {
        const { outcome, pid } = await run(
          `echo $$ > "$DIR/leader"; echo $$ > ${cgroup}/cgroup.procs; echo FROZEN > ${cgroup}/freezer.state; sleep 1000`,
          { timeoutMs: 500, graceMs: 100 },
        );
        expect(outcome).toMatchObject({ timedOut: true, groupGone: false, exitCode: null });
        expect(hookIsStuck(outcome)).toBe(true);
        expect(outcome.durationMs).toBeLessThan(9_000);
        await writeFile(join(cgroup, 'freezer.state'), 'THAWED');
        const leader = await pid('leader');
        await eventually(() => Promise.resolve(isAlive(leader) ? null : true));
      } finally {
        await writeFile(join(cgroup, 'freezer.state'), 'THAWED');
        await eventually(() =>
          rmdir(cgroup)
            .then(() => true)
            .catch(() => null),
        );
      }
    });
  },
);
