/** Addresses as hast.conf writes them: [tcp4://|tcp6://|tcp://]host[:port]. @see hast.md section 1 */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { NetError } from '../../model/errors.ts';

export const HAST_PORT = 8457;
const MAX_PORT = 65535;

export interface HastAddress {
  /** 0: whatever the host has. */
  readonly family: 0 | 4 | 6;
  readonly host: string;
  readonly port: number;
}

/**
 * @param defaultPort HAST_PORT, or 0 for `source`
 * @throws NetError `address-invalid`
 */
export function parseHastAddress(text: string, defaultPort = HAST_PORT): HastAddress {
  const scheme = /^tcp([46]?):\/\//i.exec(text);
  const rest = scheme === null ? text : text.slice(scheme[0].length);
  const written = scheme?.[1] === '4' ? 4 : scheme?.[1] === '6' ? 6 : 0;
  const { host, port } = splitPort(rest);
  const number = port === null ? defaultPort : Number(port);
  const ip = isIP(host);
  const wrongPort = port !== null && (!/^\d{1,5}$/.test(port) || number < 1 || number > MAX_PORT);
  if (host === '' || /[/[\]]/.test(host) || wrongPort || (written !== 0 && ip !== 0 && ip !== written)) {
    throw new NetError(
      'address-invalid',
      `"${text}" is no address that HAST can use; write tcp4://host:port, tcp6://[host]:port or just host`,
    );
  }
  return { family: ip === 4 || ip === 6 ? ip : written, host, port: number };
}

function splitPort(rest: string): { host: string; port: string | null } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(rest);
  if (bracketed !== null) return { host: bracketed[1] ?? '', port: bracketed[2] ?? null };
  const colons = rest.split(':').length - 1;
  if (colons !== 1) return { host: rest, port: null };
  const [host = '', port = ''] = rest.split(':');
  return { host, port };
}

/** The IP of a socket's end as it is compared: an IPv4 one that came in by IPv6 is the IPv4 one. */
export function plainIp(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}

/**
 * Does `remote` mean the host with this IP? Ports are not compared, as in hastd. Names are looked up each time.
 * @param timeoutMs a name that is not resolved by then does not match
 */
export async function isAddressOf(remote: string, ip: string, timeoutMs: number): Promise<boolean> {
  const { host, family } = parseHastAddress(remote);
  const addresses = isIP(host) !== 0 ? [host] : await resolve(host, family, timeoutMs);
  const list = new BlockList();
  for (const address of addresses) {
    const plain = plainIp(address);
    list.addAddress(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
  }
  return list.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4');
}

async function resolve(host: string, family: number, timeoutMs: number): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<[]>((done) => (timer = setTimeout(() => done([]), timeoutMs)));
  try {
    const found = lookup(host, { all: true, family }).then((all) => all.map(({ address }) => address));
    return await Promise.race([found.catch(() => []), late]);
  } finally {
    clearTimeout(timer);
  }
}
