/**
 * Opens a raw socket. Through koffi where that works: it reads many datagrams at a time and sees IPv6 hop
 * limits. Else through the raw-socket package. Main thread only.
 * @see carp-vrrp 3.1
 */
import { describeError, NetError } from '../model/errors.ts';
import { openKoffiPort } from './raw-koffi.ts';
import { openPackagePort } from './raw-package.ts';
import type { RawPort, RawPortOptions } from './raw-port.ts';

/** @throws NetError `raw-socket-refused`, `raw-socket-missing` */
export function openRawPort(options: RawPortOptions): RawPort {
  let withoutKoffi: string;
  try {
    return openKoffiPort(options);
  } catch (error) {
    if (error instanceof NetError && error.code === 'raw-socket-refused') throw error;
    withoutKoffi = describeError(error);
  }
  try {
    return openPackagePort(options);
  } catch (cause) {
    if (!(cause instanceof NetError) || cause.code !== 'raw-socket-missing') throw cause;
    throw new NetError('raw-socket-missing', `${cause.message}; ${withoutKoffi}`, { cause });
  }
}
