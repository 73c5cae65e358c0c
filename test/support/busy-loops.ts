/** Processes that use all the processor they get. */
import { type ChildProcess, spawn } from 'node:child_process';

export class BusyLoops {
  readonly #children: readonly ChildProcess[];

  /** They end by themselves after `ms` at the latest. */
  constructor(count: number, ms: number) {
    const program = `const end = performance.now() + ${ms}; while (performance.now() < end);`;
    this.#children = Array.from({ length: count }, () =>
      spawn(process.execPath, ['-e', program], { stdio: 'ignore' }),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await ended;
      }),
    );
  }
}
