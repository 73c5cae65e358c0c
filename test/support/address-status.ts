/** The shared address of a node as status tells it. */
import type { AddressStatus } from '../../src/protocol/control.ts';

export function addressStatus(changes: Partial<AddressStatus> = {}): AddressStatus {
  return {
    protocol: 'carp',
    interface: 're0',
    state: 'BACKUP',
    sinceMs: 61_500,
    lastTransition: { from: 'INIT', to: 'BACKUP', reason: 'started', time: '2026-01-01T00:00:00.000Z' },
    vhid: 1,
    addresses: ['10.10.10.180/24'],
    up: false,
    carriers: ['re0'],
    transport: 'raw',
    authentication: 'digest',
    says: { protocol: 'carp', advbase: 1, advskew: 100, demote: 0 },
    configured: { protocol: 'carp', advbase: 1, advskew: 100, demote: 0 },
    follows: null,
    timers: { advertMs: 1390.625, downMs: 3390.625, learnedMs: null },
    preempt: false,
    preemptDelayMs: 0,
    demotion: {},
    faults: [],
    hold: null,
    elections: 0,
    waitsFor: null,
    peers: [],
    counters: { accepted: 0, received: 0, sent: 0, 'send-error': 0 },
    ...changes,
  };
}
