/** What an engine says of itself, after every event and with every answer. */
import type { HastRole } from '../model/roles.ts';
import type { ResourceQueues } from '../protocol/control.ts';
import { NO_QUEUES, peerTimeoutMs } from './core.ts';
import type { EngineCore } from './core.ts';
import type { EngineSnapshot } from './messages.ts';
import type { Peering } from './peering.ts';

export interface EngineParts {
  readonly role: HastRole;
  /** Of a primary. */
  readonly peering: Peering | null;
  /** Of a secondary: whether its link is up, and since when it is not. */
  readonly up: boolean;
  readonly downAt: number | null;
  readonly queues: ResourceQueues | null;
  readonly exported: EngineSnapshot['export'];
}

export function snapshotOf(core: EngineCore, parts: EngineParts): EngineSnapshot {
  const { setup, store, map } = core;
  const { meta, record } = store;
  const { role, peering } = parts;
  const up = peering?.up ?? parts.up;
  const degraded = role === 'primary' ? 'degraded' : '-';
  return {
    role,
    status: up ? 'complete' : degraded,
    record,
    freshness: core.freshness,
    resuid: meta.resuid.toString(),
    extentsize: meta.extentsize,
    keepdirty: meta.keepdirty,
    datasize: meta.datasize,
    dirtyBytes: Math.min(meta.datasize, map.dirtyCount * meta.extentsize),
    sync: peering?.sync() ?? null,
    joining: peering?.joining ?? false,
    verify: core.verify?.progress(core.ports.clock.now()) ?? null,
    held: peering?.standing.frozen ?? peering?.primary.gate.held ?? null,
    export: parts.exported,
    diskError: core.diskError ?? core.stall?.text ?? null,
    diskHangs: core.stall?.hangs ?? false,
    diskGivenUp: store.givenUp,
    dataLinkUp: up,
    dataLinkDownAt: peering?.downAt ?? parts.downAt,
    peerTimeoutMs: peerTimeoutMs(setup, role),
    peerProblem: core.peerProblem,
    primaryMode: core.primaryMode,
    warnings: store.copyError === null ? [] : [store.copyError],
    counters: { ...core.counters, activemapUpdates: map.updates },
    queues: peering?.primary.queues() ?? parts.queues ?? NO_QUEUES,
  };
}
