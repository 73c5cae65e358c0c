/** The configuration of two simulated nodes: one resource, one group, the usual times. */
import type { GroupSettings, HastateSettings } from '../model/settings.ts';
import { DEFAULT_TIMING, type Timing } from '../model/timing.ts';
import { otherOf, type SimName } from './sim-node.ts';

export const GROUP = 'storage';
export const RESOURCE = 'disk';

const SIM_GROUP: GroupSettings = {
  name: GROUP,
  policy: 'available',
  prefer: null,
  failback: 'never',
  failbackDelayMs: 0,
  bootWaitMs: 0,
  allowLoss: false,
  afterSplit: 'disconnect',
  peerKind: 'hastate',
  resources: [RESOURCE],
  hooks: {},
  monitor: { usual: null, hooks: {} },
  device: 'none',
  address: null,
};

/** @param timing other times than the usual ones */
export function simSettings(node: SimName, timing: Partial<Timing>): HastateSettings {
  return {
    node,
    peer: { name: otherOf(node), addresses: [{ host: otherOf(node), port: 0 }] },
    peerListen: [],
    advertPort: 0,
    secretFile: null,
    tls: null,
    insecure: true,
    references: [],
    fence: { delayMs: 0, hooks: null },
    watchdog: { stuckAfterMs: null, file: null, program: null },
    timing: { ...DEFAULT_TIMING, ...timing },
    resyncRates: {},
    hooksDir: null,
    groups: [SIM_GROUP],
    visualizer: null,
    log: { level: 'error', format: 'text', syslog: null },
  };
}
