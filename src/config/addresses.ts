/** Addresses as hast.conf and hastate.yaml write them. @see protocols: hast section 1, "Addresses" */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import type { PeerAddress } from '../model/settings.ts';

export const HAST_PORT = 8457;

export type HastAddress =
  | { readonly kind: 'tcp'; readonly family: 4 | 6 | null; readonly host: string; readonly port: number }
  | { readonly kind: 'uds'; readonly path: string };

/** Longest path that fits into a socket address of this platform, in bytes. */
export const SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

/**
 * Reads `tcp4://host:port`, `tcp6://[v6]:port`, `tcp://host`, a bare host, `uds://path`,
 * `unix://path` or a bare `/path`.
 * @param defaultPort taken when none is written (for `source` 0)
 * @returns the address, or the reason in words why it is none
 */
export function parseHastAddress(text: string, defaultPort: number): HastAddress | string {
  const uds = /^(?:uds|unix):\/\/(.*)$/is.exec(text)?.[1] ?? (text.startsWith('/') ? text : null);
  if (uds !== null) return socketPath(uds);
  const scheme = /^(tcp|tcp4|tcp6):\/\//i.exec(text);
  const family = scheme === null ? null : FAMILIES[(scheme[1] ?? '').toLowerCase()];
  const rest = text.slice(scheme?.[0].length ?? 0);
  if (scheme === null && rest.includes('://'))
    return 'its scheme is none of tcp4://, tcp6://, tcp://, uds://';
  const parts = parseHostPort(rest, defaultPort);
  if (typeof parts === 'string') return parts;
  if (family === 4 && isIPv6(parts.host)) return 'an IPv6 address cannot follow tcp4://';
  if (family === 6 && isIPv4(parts.host)) return 'an IPv4 address cannot follow tcp6://';
  return { kind: 'tcp', family: family ?? null, ...parts };
}

const FAMILIES: Readonly<Record<string, 4 | 6 | null>> = { tcp: null, tcp4: 4, tcp6: 6 };

function socketPath(path: string): HastAddress | string {
  if (path === '') return 'the socket path is empty';
  const length = Buffer.byteLength(path);
  if (length > SOCKET_PATH_BYTES) {
    return `the socket path has ${length} bytes and only ${SOCKET_PATH_BYTES} fit`;
  }
  return { kind: 'uds', path };
}

/**
 * Reads `host`, `host:port`, `[v6]:port` or a bare IPv6 address.
 * @returns host and port, or the reason in words why it is none
 */
export function parseHostPort(text: string, defaultPort: number): PeerAddress | string {
  const bracket = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  let host = bracket?.[1] ?? text;
  let port = bracket?.[2];
  if (bracket !== null && !isIPv6(host)) return `'${host}' in brackets is no IPv6 address`;
  if (bracket === null && text.split(':').length === 2) {
    host = text.slice(0, text.indexOf(':'));
    port = text.slice(text.indexOf(':') + 1);
  }
  if (bracket === null && host.includes(':') && !isIPv6(host)) return `'${host}' is no IPv6 address`;
  if (host === '') return 'the host is missing';
  if (/^[\d.]+$/.test(host) && isIP(host) === 0) return `'${host}' is no IPv4 address`;
  if (isIP(host) === 0 && !/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?$/i.test(host))
    return `'${host}' is no host name`;
  if (port === undefined) return { host, port: defaultPort };
  const number = /^\d{1,5}$/.test(port) ? Number(port) : 0;
  if (number < 1 || number > 65535) return `port '${port}' is not between 1 and 65535`;
  return { host, port: number };
}

/** The reason in words why `text` is no `address/prefix`, or null when it is one. */
export function cidrFault(text: string): string | null {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = isIP(address);
  if (family === 0) return `'${address}' is no IP address`;
  const widest = family === 4 ? 32 : 128;
  if (slash < 0) return `the prefix length is missing, e.g. ${address}/${family === 4 ? 24 : 64}`;
  const prefix = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > widest)
    return `/${prefix} is not between /0 and /${widest}`;
  return null;
}
