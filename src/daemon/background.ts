/**
 * hastd goes to the background unless told otherwise: a detached copy of ourselves stays, we go
 * when it runs, or with its exit code and its words when it could not start.
 */
import { spawn } from 'node:child_process';

import { EXIT } from './exit-code.ts';

/** What the copy in the background tells the one that started it, once. */
export interface Started {
  readonly exitCode: number;
  readonly text: string;
}

/** Says to the copy that it is one: it has no standard error that anybody reads. */
const DETACHED = 'HASTATED_DETACHED';

/** @returns the exit code for the one who asked */
export function goToBackground(argv: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', '-F', ...argv], {
    detached: true,
    env: { UV_THREADPOOL_SIZE: '16', ...process.env, [DETACHED]: '1' },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      process.stderr.write('hastated: ended while it started; run it with -F to see why\n');
      resolve(code ?? EXIT.software);
    });
    child.once('message', (started: Started) => {
      process.stderr.write(started.text);
      child.removeAllListeners('exit').unref();
      child.disconnect();
      resolve(started.exitCode);
    });
  });
}

/** Whether this process is the copy. Asked once: programs that we start are none. */
export function isDetached(): boolean {
  const detached = process.send !== undefined && process.env[DETACHED] === '1';
  Reflect.deleteProperty(process.env, DETACHED);
  return detached;
}

/** Says how the start went: to who waits for a start in the background, else a failure to stderr. */
export function tellStart(started: Started): void {
  if (process.send === undefined) process.stderr.write(started.text);
  else if (process.connected) process.send(started, () => process.channel?.unref());
}
