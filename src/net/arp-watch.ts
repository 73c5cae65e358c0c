/**
 * Hears who else says that it has an address of ours, and asks for that.
 * IPv4, on Linux, through the optional koffi; nothing is heard elsewhere.
 * @see RFC 5227 2.4
 */
import { encodeArpProbe, senderOfArp } from '../protocol/announce-frames.ts';
import { hardwareAddress, interfaceIndex, ownHardwareAddresses } from './interfaces.ts';
import { loadLibc } from './libc.ts';
import { sendFrames } from './packet-socket.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOCKADDR_LL_BYTES = 20;
const ARP_TYPE = 0x0806;
const FRAME_BYTES = 128;
/** One event reads so many at most, so that a storm leaves turns for everybody else. */
const MOST_AT_ONCE = 64;

export interface ArpWatch {
  close(): void;
}

/** Watches whose poll handle must not be collected as long as they are open. */
const held = new Set<ArpWatch>();

/**
 * @param ours IPv4 addresses to listen for
 * @param onClaim somebody who is not this machine says that it has one of them
 * @throws NetError `libc-missing`, `interface-missing`
 */
export function watchArp(
  iface: string,
  ours: ReadonlySet<string>,
  onClaim: (address4: string, mac: string) => void,
): ArpWatch | null {
  const libc = loadLibc();
  const place = Buffer.alloc(SOCKADDR_LL_BYTES);
  place.writeUInt16LE(AF_PACKET, 0);
  place.writeUInt16BE(ARP_TYPE, 2);
  place.writeInt32LE(interfaceIndex(iface), 4);
  // Protocol 0: nothing comes in before it is bound to the interface.
  const fd = libc.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return null;
  if (libc.bind(fd, place, place.length) !== 0) {
    libc.close(fd);
    return null;
  }
  const frame = Buffer.alloc(FRAME_BYTES);
  let closed = false;
  const read = (): void => {
    for (let count = 0; count < MOST_AT_ONCE && !closed; count += 1) {
      const length = libc.recv(fd, frame, frame.length, 0);
      if (length <= 0) return;
      const sender = senderOfArp(frame.subarray(0, length));
      if (sender === null || !ours.has(sender.address4)) continue;
      if (!ownHardwareAddresses().has(sender.mac)) onClaim(sender.address4, sender.mac);
    }
  };
  const poll = libc.poll(fd, read);
  const watch: ArpWatch = {
    close: () => {
      if (closed) return;
      closed = true;
      held.delete(watch);
      poll.close();
      libc.close(fd);
    },
  };
  held.add(watch);
  return watch;
}

/** Asks whether anybody else has these addresses. @throws NetError as sendFrames */
export function probeArp(iface: string, addresses4: readonly string[]): void {
  const mac = hardwareAddress(iface);
  if (mac === null) return;
  sendFrames(
    iface,
    addresses4.map((address) => encodeArpProbe(mac, address)),
  );
}
