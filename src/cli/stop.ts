/** `hastate stop`: ends the daemon in order, and waits until it is gone. */
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { CliError, EXIT } from './exit.ts';
import { meet } from './meet.ts';

/** Groups go down within a minute. */
const GONE_MS = 90_000;
const POLL_MS = 20;

export function stopCommand(program: Command, cli: Cli): void {
  program
    .command('stop')
    .description('end the daemon of this node, in order')
    .action(async () => {
      const path = await cli.controlPath();
      const met = await meet(cli, []);
      if ('hastd' in met) {
        const { pidfile } = await cli.hast();
        throw new CliError(
          EXIT.unavailable,
          `hastd at ${path} is not stopped over its socket: kill -TERM $(cat ${pidfile})`,
        );
      }
      const result = await met.daemon.request('stop');
      if (!(await goneWithin(path, GONE_MS)))
        throw new CliError(
          EXIT.unavailable,
          `the daemon at ${path} goes down for ${GONE_MS / 1000} s already; look at its log`,
        );
      if (cli.options.json === true) cli.print(result, () => '');
    });
}

/** Its control socket is the last that a daemon closes. */
async function goneWithin(path: string, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms;
  while (performance.now() < deadline) {
    if (!(await answers(path, deadline - performance.now()))) return true;
    await pause(POLL_MS);
  }
  return false;
}

/** Resolves when the connection ends, with whether there was one. */
function answers(path: string, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    let there = false;
    const socket = connect({ path });
    socket.setTimeout(Math.max(1, ms), () => socket.destroy());
    socket.once('connect', () => (there = true));
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(there));
    socket.resume();
  });
}
