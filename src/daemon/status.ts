/** What `status`, the command line and the page are shown of this node. */
import type { GroupStatus, NodeStatus, RefusedConnection, ResourceStatus } from '../protocol/control.ts';

import { mayPromote } from '../model/decision.ts';
import { NO_QUEUES, noCounters } from '../replication/core.ts';
import type { Group } from './bind/group.ts';
import { heardOn } from './bind/evidence.ts';
import type { Member } from './bind/members.ts';
import type { Runtime } from './runtime.ts';

function resourceStatus(member: Member, device: string | null): ResourceStatus {
  const { settings, snapshot } = member;
  return {
    name: settings.name,
    provname: settings.provname,
    role: snapshot?.role ?? 'init',
    status: snapshot?.status ?? '-',
    localpath: settings.local,
    remoteaddr: settings.remote ?? 'none',
    sourceaddr: settings.source,
    replication: settings.replication,
    checksum: settings.checksum,
    compression: settings.compression,
    extentsize: snapshot?.extentsize ?? 0,
    keepdirty: snapshot?.keepdirty ?? 0,
    datasize: snapshot?.datasize ?? 0,
    dirtyBytes: snapshot?.dirtyBytes ?? 0,
    record: snapshot?.record ?? null,
    freshness: snapshot?.freshness ?? { kind: 'unknown', why: 'the disk is not open' },
    sync: snapshot?.sync ?? null,
    verify: snapshot?.verify ?? null,
    held: snapshot?.held ?? null,
    export: exportOf(snapshot),
    device,
    counters: snapshot?.counters ?? noCounters(),
    queues: snapshot?.queues ?? NO_QUEUES,
    error: member.error ?? snapshot?.diskError ?? null,
    peerTimeoutMs: snapshot?.peerTimeoutMs ?? null,
    peerProblem: snapshot?.peerProblem ?? null,
  };
}

/** What this resource lacks on this machine, and what that costs. */
function memberWarnings({ settings, engine, snapshot }: Member): string[] {
  const said = [...(snapshot?.warnings ?? []), ...(engine.warning === null ? [] : [engine.warning])];
  const relayed =
    engine.relayed === 0
      ? []
      : [
          `${settings.name}: without koffi the data link passes through the main thread, which costs speed: install the optional packages`,
        ];
  return [...relayed, ...said.map((text) => `${settings.name}: ${text}`)];
}

/** One line for the operator: what a failover would mean now. */
function badge(group: Group): string {
  if (group.role === 'stuck') return 'blocked: something of an earlier epoch cannot be removed';
  if (group.role === 'changing') return group.state;
  if (group.role === 'primary') {
    const why = group.peerReady();
    return why === null ? 'failover now: safe' : `failover now: not possible (${why})`;
  }
  const verdict = mayPromote(group.evidence());
  const held = group.evidence().hold;
  if (held !== null) return `blocked: ${held.text}`;
  const { context } = group.actor.getSnapshot();
  // What the disks allow is no use while the group could not come up.
  if (group.state === 'holding') return `holding, tried again by itself: ${context.error ?? context.reason}`;
  if (verdict.answer !== 'refuse') return 'standby: may take over';
  return `blocked: ${verdict.reasons[0]?.text ?? 'unknown'}`;
}

function groupStatus(group: Group): GroupStatus {
  const { settings } = group;
  return {
    name: settings.name,
    policy: settings.policy,
    state: group.state,
    role: group.role,
    resources: settings.resources,
    address: group.address?.status() ?? null,
    badge: badge(group),
    lastTransition: group.lastTransition,
  };
}

export interface StatusSources {
  readonly members: ReadonlyMap<string, Member>;
  readonly groups: ReadonlyMap<string, Group>;
  readonly version: string;
  device(resource: string): string | null;
  refused(): readonly RefusedConnection[];
}

/** How long an engine may take to tell its counters; after that the last known ones are shown. ms */
const REFRESH_MS = 500;

/** Asks the engines for their counters: events tell of changes, not of every request. Never rejects. */
export async function refresh(sources: StatusSources): Promise<void> {
  await Promise.all([...sources.members.values()].map((member) => member.refresh(REFRESH_MS)));
}

export function nodeStatus(runtime: Runtime, sources: StatusSources): NodeStatus {
  const now = runtime.clock.now();
  const heard = heardOn(sources.members.values());
  const ago = (at: number | null): number | null => (at === null ? null : Math.max(0, Math.round(now - at)));
  const { peer } = runtime.settings;
  return {
    node: runtime.node,
    version: sources.version,
    pid: process.pid,
    boot: runtime.boot,
    uptimeMs: Math.round(now - runtime.startedAt),
    warnings: [...runtime.warnings, ...[...sources.members.values()].flatMap(memberWarnings)],
    refused: sources.refused(),
    peer:
      peer === null
        ? null
        : {
            name: peer.name,
            heardMsAgo: {
              dataLink: ago(heard.dataLink),
              peerChannel: ago(heard.peerChannel),
              adverts: ago(heard.adverts),
            },
            channel: runtime.peer.channelUp ? 'up' : 'down',
          },
    resources: [...sources.members.values()].map((member) =>
      resourceStatus(member, sources.device(member.settings.name)),
    ),
    groups: [...sources.groups.values()].map(groupStatus),
    charts: runtime.charts.list(),
    lastEvent: runtime.journal.last,
  };
}

function exportOf(snapshot: Member['snapshot']): ResourceStatus['export'] {
  const found = snapshot?.export ?? null;
  return found === null ? null : { socket: found.socket, name: found.name };
}
