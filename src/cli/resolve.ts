/** `hastate resolve`: after a split-brain, gives one of the two copies up. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { EXIT } from './exit.ts';
import { humanize } from './sizes.ts';
import { table } from './table.ts';
import type { Divergence, Extents } from '../model/divergence.ts';
import type { CopyFacts } from '../model/resolve.ts';
import type { ResolveResult } from '../protocol/control.ts';

/** A demotion on the other node is waited for. */
const TIMEOUT_MS = 120_000;

interface Options {
  readonly discard: string;
  readonly demote?: boolean;
  readonly dryRun?: boolean;
}

export function resolveCommand(program: Command, cli: Cli): void {
  program
    .command('resolve')
    .description('after a split-brain, discard the copy of one node; it is copied again from the other')
    .argument('<resource>', 'resource of hast.conf')
    .requiredOption('--discard <node>', 'the node whose copy is given up')
    .option('--demote', 'if it is primary there, take its group down first')
    .option('--dry-run', 'only show how the copies differ and what would be done')
    .action(async (resource: string, { discard, demote = false, dryRun = false }: Options) => {
      const args = { resource, discard, demote, dryRun };
      const result = (await (await cli.daemon()).request('resolve', args, TIMEOUT_MS)) as ResolveResult;
      cli.print(result, () => resolveText(result));
      if (result.verdict.answer !== 'discard') cli.exitWith(EXIT.software);
    });
}

export function resolveText(result: ResolveResult): string {
  const { resource, keep, discard, verdict, divergence, plan, notKnown, dryRun, done, notes } = result;
  const refused = verdict.answer === 'refuse';
  const heading = refused
    ? `${resource}: the copy on ${discard.node} is not discarded`
    : `${resource}: split-brain; ${keep.node} is kept, ${discard.node} is discarded`;
  return [
    `${heading}\n`,
    table([
      ['', keep.node, discard.node],
      ...ROWS.map(([name, tell]) => [`  ${name}`, tell(keep), tell(discard)]),
    ]),
    ...(divergence === null ? [] : [divergenceText(result, divergence)]),
    table(verdict.reasons.map(({ rule, code, text }) => [`  ${rule}`, code, text])),
    ...(notKnown.length === 0 ? [] : ['not known:\n', ...notKnown.map((text) => `  ${text}\n`)]),
    ...(plan.length === 0 ? [] : [done ? 'done:\n' : 'to do:\n']),
    ...plan.map((step, index) => `  ${index + 1}. ${step}\n`),
    ...notes.map((text) => `warning: ${text}\n`),
    ...(verdict.next === null ? [] : [`next: ${verdict.next}\n`]),
    ...(dryRun || refused ? ['nothing was changed\n'] : []),
  ].join('');
}

function divergenceText(
  { keep, discard }: ResolveResult,
  { keepOnly, discardOnly, both }: Divergence,
): string {
  const extents = ({ extents, bytes }: Extents): string => `${extents} extents, ${bytes} bytes`;
  return `may differ:\n${table([
    [`  written only on ${keep.node}`, extents(keepOnly)],
    [`  written only on ${discard.node}`, extents(discardOnly)],
    ['  written on both', extents(both)],
  ])}`;
}

const ROWS: readonly (readonly [string, (copy: CopyFacts) => string])[] = [
  ['role', ({ role }) => role],
  ['state', ({ record }) => record?.state ?? '-'],
  ['epoch', ({ record }) => (record === null ? '-' : `${record.epoch.number} (${record.epoch.id})`)],
  ['last primary', ({ record }) => record?.primary ?? '-'],
  ['generation', ({ record }) => record?.generations.current ?? '-'],
  ['  before', ({ record }) => record?.generations.previous ?? '-'],
  [
    'wrote at most',
    ({ dirtyExtents, dirtyBytes, extentBytes }) =>
      `${dirtyExtents} extents of ${humanize(extentBytes)}, ${dirtyBytes} bytes`,
  ],
  ['size', ({ dataBytes }) => `${dataBytes} bytes`],
];
