/** What the settings of an address say to the advertiser's chart: at its start, and when they change. */
import type { AdvertiserInput } from '../../../machines/advertiser.ts';
import type { AddressSettings } from '../../model/settings.ts';

export function chartSettings(settings: AddressSettings) {
  return {
    preempt: settings.preempt,
    preemptDelayMs: settings.preemptDelayMs,
    linkUpDelayMs: settings.linkUpDelayMs,
    linkDownDelayMs: settings.linkDownDelayMs,
    minBackupMs: settings.minBackupMs,
    minMasterMs: settings.minMasterMs,
    flapBudget: settings.flap.transitions,
    flapWindowMs: settings.flap.windowMs,
    flapHoldMs: settings.flap.holdMs,
  } satisfies Partial<AdvertiserInput>;
}
