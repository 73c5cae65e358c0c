/**
 * Hears who else says that it has an address of ours, and asks for that. On Linux, through the optional koffi;
 * nothing is heard elsewhere.
 * @see RFC 5227 2.4, RFC 4861 4.4
 */
import {
  ADVERT_AT,
  type Claim,
  claimInAdvert,
  claimInArp,
  encodeArpProbe,
  encodeNeighbourProbe,
  NEIGHBOUR_ADVERT,
} from '../protocol/claim-frames.ts';
import { ARP_TYPE, ICMP6, IPV6_TYPE } from '../protocol/ethernet.ts';
import { splitFamilies } from '../protocol/ip-address.ts';
import { hardwareAddress, ownHardwareAddresses } from './interfaces.ts';
import { type Libc, loadLibc } from './libc.ts';
import { linkAddress, openPacketSocket, sendFrames } from './packet-socket.ts';

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const FRAME_BYTES = 128;
/** One event reads so many at most, so that a storm leaves turns for everybody else. */
const MOST_AT_ONCE = 64;

export interface ClaimWatch {
  close(): void;
}

interface Family {
  readonly type: number;
  /** Classic BPF: what else of that type is not ours to read. */
  readonly filter: Buffer | null;
  claimIn(frame: Buffer): Claim | null;
}

const BPF = { byteAt: 0x30, jumpEqual: 0x15, answer: 0x06 } as const;
const instruction = (code: number, yes: number, no: number, value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(yes, 2);
  bytes.writeUInt8(no, 3);
  bytes.writeUInt32LE(value, 4);
  return bytes;
};

const ARP: Family = { type: ARP_TYPE, filter: null, claimIn: claimInArp };
const NEIGHBOURS: Family = {
  type: IPV6_TYPE,
  // All IPv6 passes here otherwise.
  filter: Buffer.concat([
    instruction(BPF.byteAt, 0, 0, ADVERT_AT.next),
    instruction(BPF.jumpEqual, 0, 3, ICMP6),
    instruction(BPF.byteAt, 0, 0, ADVERT_AT.icmpType),
    instruction(BPF.jumpEqual, 0, 1, NEIGHBOUR_ADVERT),
    instruction(BPF.answer, 0, 0, FRAME_BYTES),
    instruction(BPF.answer, 0, 0, 0),
  ]),
  claimIn: claimInAdvert,
};

/** Watches whose poll handle must not be collected as long as they are open. */
const held = new Set<ClaimWatch>();

/**
 * @param ours addresses of both families to listen for
 * @param onClaim somebody who is not this machine says that it has one of them
 * @returns null where no socket can be had
 * @throws NetError `libc-missing`, `interface-missing`
 */
export function watchClaims(
  iface: string,
  ours: readonly string[],
  onClaim: (claim: Claim) => void,
): ClaimWatch | null {
  const { addresses4, addresses6 } = splitFamilies(ours);
  const families = [...(addresses4.length > 0 ? [ARP] : []), ...(addresses6.length > 0 ? [NEIGHBOURS] : [])];
  const wanted = new Set(ours);
  const watches = families.map((family) => watchFamily(iface, family, wanted, onClaim));
  const close = (): void => {
    for (const watch of watches) watch?.close();
  };
  if (watches.includes(null)) {
    close();
    return null;
  }
  return { close };
}

function watchFamily(
  iface: string,
  family: Family,
  ours: ReadonlySet<string>,
  onClaim: (claim: Claim) => void,
): ClaimWatch | null {
  const libc = loadLibc();
  const fd = openSocket(libc, iface, family);
  if (fd === null) return null;
  const frame = Buffer.alloc(FRAME_BYTES);
  let closed = false;
  const read = (): void => {
    for (let count = 0; count < MOST_AT_ONCE && !closed; count += 1) {
      const length = libc.recv(fd, frame, frame.length, 0);
      if (length <= 0) return;
      const claim = family.claimIn(frame.subarray(0, length));
      if (claim === null || !ours.has(claim.address)) continue;
      if (!ownHardwareAddresses().has(claim.mac)) onClaim(claim);
    }
  };
  const poll = libc.poll(fd, read);
  const watch: ClaimWatch = {
    close: () => {
      if (closed) return;
      closed = true;
      held.delete(watch);
      poll.close();
      libc.closeAside(fd);
    },
  };
  held.add(watch);
  return watch;
}

function openSocket(libc: Libc, iface: string, { type, filter }: Family): number | null {
  const place = linkAddress(iface, type);
  const fd = openPacketSocket(libc);
  if (fd < 0) return null;
  if ((filter === null || attach(libc, fd, filter) === 0) && libc.bind(fd, place, place.length) === 0)
    return fd;
  libc.closeAside(fd);
  return null;
}

/** `struct sock_fprog`: how many instructions, and where they stand. The system copies them. */
function attach(libc: Libc, fd: number, filter: Buffer): number {
  const program = Buffer.alloc(16);
  program.writeUInt16LE(filter.length / 8, 0);
  program.writeBigUInt64LE(libc.addressOf(filter), 8);
  return libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.length);
}

/** Asks whether anybody else has these addresses. @throws NetError as sendFrames */
export function probeClaims(iface: string, addresses: readonly string[]): void {
  const mac = hardwareAddress(iface);
  if (mac === null) return;
  const { addresses4, addresses6 } = splitFamilies(addresses);
  sendFrames(iface, [
    ...addresses4.map((address) => encodeArpProbe(mac, address)),
    ...addresses6.map((address) => encodeNeighbourProbe(mac, address)),
  ]);
}
