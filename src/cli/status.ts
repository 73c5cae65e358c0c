/** `hastate status` and `hastate list`: resources as hastctl prints them. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { groupsText } from './groups.ts';
import { listText, statusText } from './hastctl-text.ts';
import type { Told } from './hastctl-text.ts';
import { meet, orRefused } from './meet.ts';
import { recordText } from './record-text.ts';
import { syncText, verifyText } from './sync-text.ts';
import type { NodeStatus, ResourceCounters } from '../protocol/control.ts';
import { HASTCTL_ERROR } from '../protocol/hastctl.ts';
import type { HastctlStatus } from '../protocol/hastctl.ts';
import { asHastctlStatus } from '../protocol/hastctl-status.ts';

export function statusCommand(program: Command, cli: Cli): void {
  program
    .command('status')
    .description('print role and state of resources, one line each')
    .argument('[name...]', 'resources, or all')
    .action(async (names: string[]) => {
      const { told, node } = await ask(cli, names);
      cli.print(
        node === null
          ? { daemon: 'hastd', resources: forPrograms(told, null) }
          : { ...node, resources: forPrograms(told, node) },
        () => statusText(told, cli.colors),
      );
      if (cli.io.terminal && cli.options.json !== true && node !== null) forPeople(cli, node, told);
    });
}

export function listCommand(program: Command, cli: Cli): void {
  program
    .command('list')
    .description('print all that is known of resources')
    .argument('[name...]', 'resources, or all')
    .action(async (names: string[]) => {
      const { told, node } = await ask(cli, names);
      cli.print(forPrograms(told, node), () =>
        told.map((one) => listText([one], cli.colors) + recordOf(cli, node, one.name)).join(''),
      );
    });
}

/** What hastctl has no words for, so not by that name; of a disk that was never used there is nothing to tell. */
function recordOf(cli: Cli, node: NodeStatus | null, name: string): string {
  if (cli.io.program === 'hastctl') return '';
  const record = node?.resources.find((one) => one.name === name)?.record ?? null;
  return record === null || record.state === 'virgin' ? '' : recordText(record);
}

/** What was asked for, and the whole node unless a stock hastd answers. The first error is the exit code. */
async function ask(
  cli: Cli,
  names: readonly string[],
): Promise<{ told: readonly Told[]; node: NodeStatus | null }> {
  const met = await meet(cli, names);
  const node = 'daemon' in met ? ((await met.daemon.request('status')) as NodeStatus) : null;
  const told = node === null && 'hastd' in met ? toldBy(orRefused(met.hastd.said)) : select(node, names);
  for (const one of told) if ('error' in one) cli.exitWith(one.error);
  return { told, node };
}

function toldBy(reply: ReturnType<typeof orRefused>): readonly Told[] {
  return reply.kind === 'status' ? reply.resources : [];
}

/** The resources of these names in this order; all for none or a first `all`, as hastd takes it. */
function select(node: NodeStatus | null, names: readonly string[]): Told[] {
  const known = new Map(
    (node?.resources ?? []).map((one) => [one.name, asHastctlStatus(one, node?.pid ?? 0)]),
  );
  const wanted = names.length === 0 || names[0] === 'all' ? [...known.keys()] : names;
  return wanted.map((name) => known.get(name) ?? { name, error: HASTCTL_ERROR.NO_ENTRY });
}

/** Of our own daemon all that it tells; of a hastd the same names, as far as it knows them. */
function forPrograms(told: readonly Told[], node: NodeStatus | null): object[] {
  return told.map((one) => {
    if ('error' in one) {
      const unknown = one.error === HASTCTL_ERROR.NO_ENTRY;
      return {
        name: one.name,
        error: unknown ? 'there is no such resource' : `hastd says error ${one.error}`,
      };
    }
    return node?.resources.find(({ name }) => name === one.name) ?? inOurNames(one);
  });
}

function inOurNames({ worker, ...one }: HastctlStatus): object {
  const known = { ...one, status: worker?.status ?? '-', error: null };
  if (worker === null) return known;
  const { dirty, extentsize, keepdirty, statistics: count, queues } = worker;
  const counters: ResourceCounters = {
    ...{ reads: count.read, writes: count.write, deletes: count.delete, flushes: count.flush },
    activemapUpdates: count.activemapUpdate,
    ...{ readErrors: count.readError, writeErrors: count.writeError },
    ...{ deleteErrors: count.deleteError, flushErrors: count.flushError },
  };
  return { ...known, extentsize, keepdirty, dirtyBytes: dirty, counters, queues };
}

/** What hastctl has no words for; only where nobody parses the output. */
function forPeople(cli: Cli, node: NodeStatus, told: readonly Told[]): void {
  if (node.groups.length > 0) cli.io.out(`\n${groupsText(node.groups, cli.colors)}`);
  for (const { name } of told) {
    const resource = node.resources.find((one) => one.name === name);
    const remark = resource?.error ?? resource?.held ?? null;
    if (remark !== null) cli.io.err(`${name}: ${remark}\n`);
    if (resource?.verify) cli.io.err(`${name}: ${verifyText(resource.verify)}\n`);
    if (resource?.sync) cli.io.err(`${name}: ${syncText(resource.sync)}\n`);
  }
  for (const warning of node.warnings) cli.io.err(`${node.node}: ${warning}\n`);
}
