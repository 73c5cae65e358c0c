/** `hastate verify`: has the primary compare both disks, and repair what differs. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import type { Cli } from './cli.ts';
import { EXIT } from './exit.ts';
import { verifyText } from './sync-text.ts';
import { parseRate } from '../config/resync-rates.ts';
import type { VerifyResult } from '../protocol/control.ts';

const TIMEOUT_MS = 20_000;
const LOOK_MS = 500;

interface Options {
  readonly rate?: number | null;
  readonly repair?: boolean;
  readonly stop?: boolean;
  readonly wait?: boolean;
}

export function verifyCommand(program: Command, cli: Cli): void {
  program
    .command('verify')
    .description('compare the disks of both nodes in the background')
    .argument('<resource>', 'resource of hast.conf')
    .option(
      '--rate <rate>',
      "at most so much, e.g. 50MB/s; 0 for no limit (default: the resource's resync-rate)",
      rate,
    )
    .option('--repair', 'copy what differs from the primary to the other node')
    .option('--stop', 'end the verification that runs')
    .option('--wait', 'wait for its end; fails when the disks differ')
    .action(
      async (
        resource: string,
        { rate: limit = null, repair = false, stop = false, wait = false }: Options,
      ) => {
        const ask = async (params: Record<string, unknown>): Promise<VerifyResult> =>
          (await (await cli.daemon()).request('verify', { resource, ...params }, TIMEOUT_MS)) as VerifyResult;
        let result = await ask(stop ? { action: 'stop' } : { action: 'start', rate: limit, repair });
        while (wait && result.verify?.state === 'running') {
          await pause(LOOK_MS);
          result = await ask({ action: 'look' });
        }
        cli.print(result, () => resultText(result));
        if (wait && !isGood(result)) cli.exitWith(EXIT.software);
      },
    );
}

/** The disks are equal now, to the last byte. */
function isGood({ verify }: VerifyResult): boolean {
  return (
    verify !== null &&
    verify.state === 'done' &&
    verify.unreadBytes === 0 &&
    verify.repairedBytes === verify.differingBytes
  );
}

export function resultText({ resource, node, verify }: VerifyResult): string {
  if (verify === null) return `${resource}: nothing was verified on ${node}\n`;
  const ranges = verify.ranges.map(
    ({ offset, length, repaired }) => `  ${length} bytes at ${offset}${repaired ? ', repaired' : ''}\n`,
  );
  const more = verify.differences - verify.ranges.length;
  return [
    `${resource} on ${node}: ${verifyText(verify)}\n`,
    ...ranges,
    ...(more > 0 ? [`  and ${more} more\n`] : []),
  ].join('');
}

function rate(text: string): number {
  const bytes = parseRate(text);
  if (bytes === null || (bytes > 0 && bytes < 65_536))
    throw new InvalidArgumentError('write e.g. 50MB/s or 20MiB/s, at least 64KiB/s, or 0 for no limit');
  return bytes;
}
