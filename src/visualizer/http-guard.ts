/** Who may ask, and what a browser may do with the answer. */
import type { IncomingMessage } from 'node:http';

/** No script, style or picture from anywhere else, no frame around it, nothing stored. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);

/**
 * Whether the request's Host header names this machine as the page is known here. A foreign
 * web site whose name was made to point at 127.0.0.1 (DNS rebinding) sends its own name.
 * The port is not looked at: a tunnel may have another one.
 */
export function hostAllowed(request: IncomingMessage, listenHost: string): boolean {
  const host = hostName(request.headers.host ?? '');
  if (host === null) return false;
  const local = (request.socket.localAddress ?? '').replace(/^::ffff:/, '');
  return LOOPBACK.has(host) || host === listenHost.toLowerCase() || (local !== '' && host === local);
}

function hostName(header: string): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::\d{1,5})?$/i.exec(header);
  const name = match?.[1] ?? match?.[2];
  return name === undefined ? null : name.toLowerCase();
}
