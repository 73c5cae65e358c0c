/** `hastate simulate`: two whole nodes, their disks and networks on a virtual clock, with faults from a seed. */
import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { CliError, EXIT } from './exit.ts';
import type { JournalEvent } from '../protocol/control.ts';
import { describeFault, FAULT_KINDS, FAULT_WORDS, parseFaultKinds } from '../simulate/faults.ts';
import { shrink, simulate } from '../simulate/simulate.ts';
import type { Outcome } from '../simulate/world.ts';

/** Something was lost, or both nodes wrote and nobody said so. */
const BROKEN = 1;
const MOST_MINUTES = 24 * 60;
const MOST_SEED = 2 ** 31;

interface Options {
  readonly seed?: string;
  readonly minutes: string;
  readonly faults: string;
  readonly journal?: string;
}

const HELP = `
Faults:
${FAULT_KINDS.map((kind) => `  ${kind.padEnd(12)} ${FAULT_WORDS[kind]}`).join('\n')}

What runs is what is shipped: the charts of group, resource and link, the decision, the evidence, the agreement
between two nodes and the comparison of their records, the replication engine with its metadata and wire format.
Simulated are the clock, the disks with a cache that a power cut empties, the data link, the peer channel below its
messages, devices and hooks (stand-ins that take time), and chance, all from the seed. Not simulated: sockets, TLS,
adverts and addresses, hook programs, kernel devices, fences, references, clocks that run apart.

The nodes are one pair with one memsync resource in one group with policy 'available'. An application stamps every
block. The verdict fails when an acknowledged write is missing where it must be, when both nodes acknowledge writes
and neither reports the split-brain, or when the pair is not one again a minute after the last fault.`;

export function simulateCommand(program: Command, cli: Cli): void {
  program
    .command('simulate')
    .description(
      'run two whole nodes on a virtual clock with random faults, and judge what became of the data',
    )
    .option('--seed <number>', 'where all chance comes from; the same seed is the same run')
    .option('--minutes <number>', 'virtual time under load', '5')
    .option('--faults <list>', 'kinds of faults, with commas between them', FAULT_KINDS.join(','))
    .option(
      '--journal <file>',
      'where the journal of both nodes is written; without it only when the run fails',
    )
    .addHelpText('after', HELP)
    .action(async (options: Options) => {
      const seed =
        options.seed === undefined ? randomInt(MOST_SEED) : numberOf('seed', options.seed, 0, MOST_SEED);
      const minutes = numberOf('minutes', options.minutes, 0.01, MOST_MINUTES);
      const question = { seed, minutes, kinds: parseFaultKinds(options.faults) };
      const first = await simulate(question);
      const outcome = first.failure === null ? first : await shrink(first, question);
      const failed = outcome.failure !== null;
      const journal = options.journal ?? (failed ? `hastate-simulation-${seed}.jsonl` : null);
      if (journal !== null) await writeFile(journal, outcome.journal.map(lineOf).join(''));
      const { failure, splitReported, counts, faults, tookMs } = outcome;
      const shown = { ok: !failed, seed, minutes, failure, splitReported, counts, faults, tookMs, journal };
      cli.print(shown, () => textOf(seed, outcome, journal));
      if (failed) cli.exitWith(BROKEN);
    });
}

function lineOf(event: JournalEvent): string {
  return `${JSON.stringify(event)}\n`;
}

function textOf(
  seed: number,
  { failure, splitReported, counts, faults, tookMs }: Outcome,
  journal: string | null,
): string {
  const { written, flushed, turns } = counts;
  const file = journal === null ? [] : [`journal: ${journal}`];
  if (failure === null) {
    const split = splitReported
      ? [
          'both nodes wrote apart from each other while neither could hear the other; it was reported, both copies are kept',
        ]
      : [];
    const done = `${written} writes and ${flushed} flushes acknowledged, ${turns} turns as primary, ${faults.length} faults`;
    const seconds = Math.round(tookMs / 1000);
    return lines([
      `seed ${seed}: nothing acknowledged was lost (${done}, ${seconds} s of virtual time)`,
      ...split,
      ...file,
    ]);
  }
  return lines([
    `seed ${seed}: ${failure.kind}: ${failure.text}`,
    `${faults.length} faults are enough for it:`,
    ...faults.map((fault) => `  ${describeFault(fault)}`),
    ...file,
  ]);
}

function lines(of: readonly string[]): string {
  return of.map((line) => `${line}\n`).join('');
}

function numberOf(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= least && value <= most) return value;
  throw new CliError(EXIT.usage, `--${name} is '${text}': give a number from ${least} to ${most}`);
}
