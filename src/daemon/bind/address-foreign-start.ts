/** Begins to listen to whoever elects the holder of a group's address, where that is not us. */
import { join } from 'node:path';

import type { AddressSettings } from '../../model/settings.ts';
import { startKeepalived } from '../../net/keepalived-fifo.ts';
import { startKernelCarp } from '../../net/kernel-carp.ts';
import type { Runtime } from '../runtime.ts';
import { ForeignAddress } from './address-foreign.ts';

export interface ForeignAddressOptions {
  readonly runtime: Runtime;
  readonly group: string;
  readonly settings: AddressSettings;
  /** Of the vhid; empty = none. */
  readonly password: string;
}

/**
 * With keepalived the vrrp_instance is called as the group, its pipe is `keepalived.fifo` in the state directory,
 * and the file that it tracks `keepalived-GROUP.track`.
 * @returns null when the protocol is one of ours
 * @throws NetError `kernel-carp`, `keepalived-fifo`
 */
export async function startForeignAddress(options: ForeignAddressOptions): Promise<ForeignAddress | null> {
  const { runtime, group, settings, password } = options;
  switch (settings.protocol) {
    case 'kernel-carp': {
      const { interface: iface, vhid, advbase, advskew, addresses } = settings;
      const about = { interface: iface, vhid, advbase, advskew, addresses, password, log: runtime.log };
      return ForeignAddress.start(options, (onChange) => startKernelCarp({ ...about, onChange }));
    }
    case 'keepalived': {
      const fifo = join(runtime.stateDir, 'keepalived.fifo');
      const trackFile = join(runtime.stateDir, `keepalived-${group}.track`);
      return ForeignAddress.start(options, (onChange) =>
        startKeepalived({ instance: group, fifo, trackFile, onChange }),
      );
    }
    case 'external':
      return ForeignAddress.start(options, null);
    case 'carp':
    case 'vrrp2':
    case 'vrrp3':
      return null;
  }
}
