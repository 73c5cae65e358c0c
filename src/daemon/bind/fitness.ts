/** What makes a node unfit or less fit to lead besides its disks: its link, and what the configuration tracks. */
import type { AdvertiserEvent } from '../../../machines/advertiser.ts';
import type { AddressSettings } from '../../model/settings.ts';
import { trackEffect, type TrackSettings } from '../../model/tracking.ts';
import { watchLink } from '../../net/link-watch.ts';
import type { NetLog } from '../../net/log.ts';
import { createCheck } from '../../net/track-checks.ts';
import { watchTracked } from '../../net/track-watch.ts';
import { scriptCheck } from './track-script.ts';

export interface Fitness {
  /** Whether the link was up at the first look; afterwards `tell` says when that changes. */
  readonly linkUp: boolean;
  /** From now on `tell` is called. */
  readonly start: (tell: (event: AdvertiserEvent) => void) => void;
  close(): Promise<void>;
}

export async function watchFitness(options: {
  readonly settings: AddressSettings;
  /** Address families that need an own address on the interface. */
  readonly families: readonly (4 | 6)[];
  readonly log: NetLog;
  /** A tracked thing became well or failed. */
  readonly changed: (item: TrackSettings, well: boolean, why: string) => void;
}): Promise<Fitness> {
  const { settings, families, log, changed } = options;
  let tell: (event: AdvertiserEvent) => void = () => undefined;
  const link = await watchLink({
    interface: settings.interface,
    families,
    shared: settings.addresses,
    onChange: ({ up }) => tell({ type: up ? 'LINK.UP' : 'LINK.DOWN' }),
    log,
  });
  let watches: readonly { close(): Promise<void> }[] = [];
  const linkUp = link.state().up;
  return {
    linkUp,
    start: (listener) => {
      tell = listener;
      // What happened between the first look and now.
      if (link.state().up !== linkUp) listener({ type: linkUp ? 'LINK.DOWN' : 'LINK.UP' });
      watches = settings.track.flatMap((item) => {
        const { kind, weight, name } = item;
        if (kind === 'replication') return [];
        // Better while it is well, and well until seen otherwise.
        if (weight > 0) listener(eventOf(name, weight, true));
        const check = kind === 'script' ? scriptCheck(item.target) : createCheck(kind, item.target);
        const tellChange = (well: boolean, why: string): void => {
          changed(item, well, why);
          listener(eventOf(name, weight, well));
        };
        return [watchTracked(item, tellChange, check)];
      });
    },
    close: async () => {
      tell = () => undefined;
      link.close();
      await Promise.all(watches.map((watch) => watch.close()));
    },
  };
}

function eventOf(name: string, weight: number, well: boolean): AdvertiserEvent {
  const effect = trackEffect(weight, well);
  if (effect.kind === 'fault') return { type: effect.over ? 'FAULT.OVER' : 'FAULT', by: name };
  return { type: 'DEMOTE', by: `track:${name}`, amount: effect.amount };
}
