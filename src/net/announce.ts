/**
 * Tells the segment that addresses moved here: gratuitous ARP and unsolicited neighbour advertisements.
 * FreeBSD's kernel does it when an address is added. @see carp-vrrp 3.2, 3.4
 */
import { execa } from 'execa';

import { describeError, NetError } from '../model/errors.ts';
import { encodeGratuitousArp, encodeNeighbourAdvert } from '../protocol/announce-frames.ts';
import { splitFamilies } from '../protocol/ip-address.ts';
import { hardwareAddress } from './interfaces.ts';
import { sendFrames } from './packet-socket.ts';

const TIMEOUT_MS = 5000;

export type AnnounceWay = 'frames' | 'arping' | 'kernel' | 'nothing-to-announce';

/**
 * Best first: frames through koffi, else `arping` (IPv4 only; its frame leaves ~30 ms later).
 * @param addresses CIDR or plain
 * @returns how it was done
 * @throws NetError `announce` when no way works or IPv6 addresses had to be left out
 */
export async function announceAddresses(iface: string, addresses: readonly string[]): Promise<AnnounceWay> {
  if (process.platform === 'freebsd') return 'kernel';
  const mac = hardwareAddress(iface);
  if (mac === null) return 'nothing-to-announce';
  const { addresses4, addresses6 } = splitFamilies(addresses);
  try {
    sendFrames(iface, [
      ...addresses4.map((address) => encodeGratuitousArp(mac, address)),
      ...addresses6.map((address) => encodeNeighbourAdvert(mac, address)),
    ]);
    return 'frames';
  } catch (cause) {
    await Promise.all(addresses4.map((address) => arping(iface, address, cause)));
    if (addresses6.length === 0) return 'arping';
    throw new NetError(
      'announce',
      `IPv6 addresses ${addresses6.join(', ')} on ${iface} were not announced: ${describeError(cause)}`,
      { cause },
    );
  }
}

async function arping(iface: string, address: string, framesFailed: unknown): Promise<void> {
  const result = await execa('arping', ['-U', '-c', '1', '-I', iface, address], {
    reject: false,
    timeout: TIMEOUT_MS,
    stdin: 'ignore',
  });
  // Nobody answers a gratuitous request, which some versions report as exit code 1.
  if (result.exitCode === 0 || result.exitCode === 1) return;
  throw new NetError(
    'announce',
    `${address} on ${iface} was not announced: ${describeError(framesFailed)}; arping: ${result.shortMessage ?? 'failed'}`,
  );
}
