/** `hastate why-not`: may this node become primary, and what would change that. */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';
import { table } from './table.ts';
import type { Evidence } from '../model/evidence.ts';
import type { Freshness } from '../model/record.ts';
import { PATHS } from '../model/roles.ts';
import type { WhyNotResult } from '../protocol/control.ts';

export function whyNotCommand(program: Command, cli: Cli): void {
  program
    .command('why-not')
    .description('say whether this node may become primary for a group, and why')
    .argument('<group>', 'group of hastate.yaml')
    .action(async (group: string) => {
      const result = (await (await cli.daemon()).request('why-not', { group })) as WhyNotResult;
      cli.print(result, () => whyNotText(result));
    });
}

const ANSWERS = {
  promote: 'may become primary',
  wait: 'has to wait',
  refuse: 'may not become primary',
} as const;

export function whyNotText({ group, verdict, evidence }: WhyNotResult): string {
  const retry = verdict.retryInMs === null ? '' : `; asks again in ${seconds(verdict.retryInMs)}`;
  const reasons = verdict.reasons.map(({ rule, code, text }) => [`  ${rule}`, code, text]);
  const next = verdict.next === null ? [] : [`next: ${verdict.next}\n`];
  return [
    `${group} on ${evidence.self}: ${ANSWERS[verdict.answer]}${retry}\n`,
    table(reasons),
    'evidence:\n',
    table(evidenceRows(evidence)),
    ...next,
  ].join('');
}

function evidenceRows(evidence: Evidence): string[][] {
  const ago = (at: number | null, never = 'never'): string =>
    at === null ? never : `${seconds(evidence.now - at)} ago`;
  const { report, references, peer } = evidence;
  const rows = [
    ['policy', evidence.policy],
    ['started', ago(evidence.startedAt)],
    ...PATHS.map((path) => [`heard on ${path}`, ago(evidence.heardAt[path])]),
  ];
  if (peer !== null && report === null) rows.push([`report of ${peer}`, 'none in its current boot']);
  if (report !== null) {
    const health = report.healthy ? 'healthy' : 'unhealthy';
    const role = `${report.primary ? 'primary' : 'not primary'}${report.changing ? ', changing' : ''}, ${health}`;
    rows.push([
      `report of ${peer ?? 'the peer'}`,
      `${role}, epoch ${report.epoch.number}, ${ago(report.at)}`,
    ]);
  }
  if (evidence.certainDeathAt !== null)
    rows.push(['death of the peer', `certain, ${ago(evidence.certainDeathAt)}`]);
  if (evidence.fencedAt !== null) rows.push(['fenced', ago(evidence.fencedAt)]);
  if (references.configured > 0)
    rows.push(['references', `${references.reached} of ${references.configured} reached`]);
  for (const member of evidence.members) {
    const link = member.dataLinkUp
      ? 'data link up'
      : `data link down since ${ago(member.dataLinkDownAt, 'the start')}`;
    const state = member.diskError ?? `${freshnessText(member.freshness)}, epoch ${member.epoch.number}`;
    rows.push([member.resource, `${state}, ${link}`]);
  }
  rows.push(...evidence.obstacles.map((obstacle) => ['in the way', obstacle]));
  return rows.map(([key = '', value = '']) => [`  ${key}`, value]);
}

function freshnessText(freshness: Freshness): string {
  if (freshness.kind === 'behind') return `behind by ${freshness.extents} extents`;
  if (freshness.kind === 'unknown') return `freshness unknown (${freshness.why})`;
  return freshness.kind === 'inSync' ? 'in sync' : freshness.kind;
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
