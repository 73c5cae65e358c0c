/** Real processes: a stand-in daemon, the keeper, and what it cleans up. */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { CleanupAction } from '../../../src/device/cleanup.ts';
import { processStartTime } from '../../../src/device/processes.ts';
import { startKeeper } from '../../../src/keeper/handle.ts';
import { temporaryDirectory } from '../device/nbd-fixture.ts';
import { buildProgram, start, type Program } from './program.ts';

const STALL_MS = 800;

let keeper: { path: string; dispose: () => void };
let daemon: { path: string; dispose: () => void };
beforeAll(async () => {
  [keeper, daemon] = await Promise.all([
    buildProgram('src/keeper/main.ts'),
    buildProgram('test/unit/keeper/stand-in-daemon.ts'),
  ]);
});
afterAll(() => {
  keeper.dispose();
  daemon.dispose();
});

/** Appends words to a file, in which the order of what was done can be read. */
async function journal() {
  const path = join(await temporaryDirectory(), 'journal');
  return {
    write: (word: string): CleanupAction => ({ kind: 'run', argv: ['sh', '-c', `echo ${word} >> ${path}`] }),
    read: async () => (await readFile(path, 'utf8').catch(() => '')).trim().split('\n').join(' '),
  };
}

async function startDaemon(
  actions: readonly CleanupAction[],
): Promise<{ program: Program; keeperPid: number }> {
  const program = start(
    process.execPath,
    daemon.path,
    keeper.path,
    String(STALL_MS),
    JSON.stringify(actions),
  );
  const line = await program.line(/^keeper \d+$/);
  return { program, keeperPid: Number(line.split(' ')[1]) };
}

describe('the keeper', () => {
  it('cleans up in the given order when the daemon is killed, and ends', async () => {
    const { write, read } = await journal();
    const { program, keeperPid } = await startDaemon([write('address'), write('device'), write('rest')]);
    await program.kill();
    await program.closed;
    expect(await read()).toBe('address device rest');
    expect(await processStartTime(keeperPid)).toBeNull();
  });

  it.each(['SIGINT', 'SIGKILL'] as const)('outlives %s to the group of the daemon', async (signal) => {
    const { write, read } = await journal();
    const { program } = await startDaemon([write('address')]);
    process.kill(-program.pid, signal);
    expect(await program.exited).toMatchObject({ signal });
    await program.closed;
    expect(await read()).toBe('address');
  });

  it('outlives polite signals of its own', async () => {
    const { write, read } = await journal();
    const { program, keeperPid } = await startDaemon([write('address')]);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(keeperPid, signal);
    await program.kill();
    await program.closed;
    expect(await read()).toBe('address');
  });

  it('cleans up once when the daemon freezes, says so when it thaws, and is ready for the next time', async () => {
    const { write, read } = await journal();
    const { program } = await startDaemon([write('address'), write('device')]);

    program.child.kill('SIGSTOP');
    await program.line(/done: sh -c echo device/);
    expect(await read()).toBe('address device');

    program.child.kill('SIGCONT');
    await program.line(/^cleaned, 0 failed$/);
    program.child.kill('SIGSTOP');
    await program.line(/done: sh -c echo device/, 2);
    expect(await read()).toBe('address device address device');

    await program.kill();
    await program.closed;
    expect(await read()).toBe('address device address device address device');
  });

  it('does nothing while the daemon beats', async () => {
    const { write, read } = await journal();
    const { program } = await startDaemon([write('address')]);
    // Long enough for several stalls; what must not happen has no event to wait for.
    const other = start(process.execPath, '-e', `setTimeout(() => {}, ${3 * STALL_MS})`);
    await other.exited;
    expect(program.lines.filter((line) => line.includes('clean-up'))).toEqual([]);
    expect(await read()).toBe('');
  });

  it('does nothing after a clean end', async () => {
    const { write, read } = await journal();
    const { program, keeperPid } = await startDaemon([write('address')]);
    program.child.kill('SIGTERM');
    await program.line(/^bye$/);
    await program.closed;
    expect(await read()).toBe('');
    expect(await processStartTime(keeperPid)).toBeNull();
  });

  it('goes on after an action that fails and one that hangs', async () => {
    const { write, read } = await journal();
    const { program } = await startDaemon([
      { kind: 'run', argv: ['/nowhere/at-all'] },
      { kind: 'run', argv: ['false'] },
      { kind: 'run', argv: ['sleep', '60'] },
      write('last'),
    ]);
    await program.kill();
    await program.closed;
    expect(await read()).toBe('last');
    expect(program.lines.filter((line) => line.includes('FAILED'))).toHaveLength(3);
  });

  it('kills the process that was meant, and no other that has its pid', async () => {
    const [victim, bystander] = [spawn('sleep', ['60']), spawn('sleep', ['60'])];
    onTestFinished(() => void bystander.kill('SIGKILL'));
    const [victimPid, bystanderPid] = [victim.pid ?? 0, bystander.pid ?? 0];
    const killed = new Promise((resolve) => victim.on('exit', (_code, signal) => resolve(signal)));
    const startTime = (await processStartTime(victimPid)) ?? '';
    const { program } = await startDaemon([
      { kind: 'kill', pid: bystanderPid, startTime: '1' },
      { kind: 'kill', pid: victimPid, startTime },
    ]);
    await program.kill();
    expect(await killed).toBe('SIGKILL');
    await program.closed;
    expect(await processStartTime(bystanderPid)).not.toBeNull();
  });

  it('keeps its list when it is sent what is no list', async () => {
    const { write, read } = await journal();
    const program = start(process.execPath, keeper.path, '--stall-ms', '60000');
    const lines = [
      JSON.stringify({ set: [write('kept')] }),
      JSON.stringify({ set: [write('half'), { kind: 'kill', pid: 1, startTime: '1' }] }),
      'noise',
      `{"set":[${'x'.repeat(2 * 1024 * 1024)}]}`,
    ];
    program.child.stdin?.end(`${lines.join('\n')}\n`);
    await program.closed;
    expect(await read()).toBe('kept');
    expect(program.lines.filter((line) => line.includes('ignored'))).toHaveLength(3);
  });

  it('that cannot start is an error', async () => {
    await expect(startKeeper({ entry: '/nowhere/main.js', stallMs: STALL_MS })).rejects.toMatchObject({
      code: 'keeper-start',
    });
  });

  it('that dies is reported to the daemon', async () => {
    const { program, keeperPid } = await startDaemon([]);
    process.kill(keeperPid, 'SIGKILL');
    await program.line(/^keeper ended: SIGKILL$/);
  });
});
