/**
 * Tells the segment that addresses moved here: gratuitous ARP and unsolicited neighbour advertisements.
 * FreeBSD's kernel announces a new IPv4 address by itself. @see carp-vrrp 3.2, 3.4
 */
import { readFile } from 'node:fs/promises';

import { execa } from 'execa';

import { describeError, NetError } from '../model/errors.ts';
import { encodeGratuitousArp, encodeNeighbourAdvert } from '../protocol/announce-frames.ts';
import { splitFamilies } from '../protocol/ip-address.ts';
import { hardwareAddress } from './interfaces.ts';
import { sendFrames } from './packet-socket.ts';
import { sendNeighbourAdverts } from './raw-package.ts';

const TIMEOUT_MS = 5000;
/** Ethernet and IPv6 headers in front of the ICMPv6 message, which is all that a raw socket takes. */
const HEADERS_BYTES = 14 + 40;

export type AnnounceWay = 'frames' | 'programs' | 'kernel' | 'nothing-to-announce';

/**
 * Best first: frames through koffi; else `arping` (its frame leaves ~30 ms later) and raw ICMPv6 sockets.
 * @param addresses CIDR or plain
 * @returns how it was done
 * @throws NetError `announce` with what was not announced
 */
export async function announceAddresses(iface: string, addresses: readonly string[]): Promise<AnnounceWay> {
  const mac = hardwareAddress(iface);
  if (mac === null) return 'nothing-to-announce';
  const { addresses4, addresses6 } = splitFamilies(addresses);
  const router = addresses6.length > 0 && (await isRouter(iface));
  const adverts = addresses6.map((address) => encodeNeighbourAdvert(mac, address, router));
  if (process.platform === 'freebsd') {
    announceByIcmp(iface, addresses6, adverts, null);
    return 'kernel';
  }
  try {
    sendFrames(iface, [...addresses4.map((address) => encodeGratuitousArp(mac, address)), ...adverts]);
    return 'frames';
  } catch (cause) {
    announceByIcmp(iface, addresses6, adverts, cause);
    await Promise.all(addresses4.map((address) => arping(iface, address, cause)));
    return 'programs';
  }
}

function announceByIcmp(
  iface: string,
  addresses6: readonly string[],
  adverts: readonly Buffer[],
  framesFailed: unknown,
): void {
  try {
    sendNeighbourAdverts(
      iface,
      adverts.map((frame) => frame.subarray(HEADERS_BYTES)),
    );
  } catch (cause) {
    const first = framesFailed === null ? '' : `${describeError(framesFailed)}; `;
    throw new NetError(
      'announce',
      `IPv6 addresses ${addresses6.join(', ')} on ${iface} were not announced: ${first}${describeError(cause)}`,
      { cause },
    );
  }
}

/** Whether this host forwards for others there: hosts drop a router that no longer says that it is one. */
async function isRouter(iface: string): Promise<boolean> {
  const text = await readFile(`/proc/sys/net/ipv6/conf/${iface}/forwarding`, 'latin1').catch(() => '0');
  return text.trim() === '1';
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
