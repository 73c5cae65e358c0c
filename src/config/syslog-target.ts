/** Where hastate.yaml sends the log: `local`, `/path`, `udp://host[:514]`, `tcp://host[:601]`. */
import { parseHostPort, SOCKET_PATH_BYTES } from './addresses.ts';
import type { SyslogTarget } from '../model/settings.ts';

/** By number. @see RFC 5424 section 6.2.1 */
export const SEVERITIES = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;

const PORTS = { udp: 514, tcp: 601 } as const;

export function severityNumber(name: (typeof SEVERITIES)[number]): number {
  return SEVERITIES.indexOf(name);
}

/** @returns the target, or the reason in words why it is none */
export function parseSyslogTarget(text: string): SyslogTarget | string {
  if (text === 'local') return { kind: 'local', path: null };
  if (text.startsWith('/')) {
    const bytes = Buffer.byteLength(text);
    if (bytes <= SOCKET_PATH_BYTES) return { kind: 'local', path: text };
    return `the socket path has ${bytes} bytes and only ${SOCKET_PATH_BYTES} fit`;
  }
  const [, scheme, rest = ''] = /^(udp|tcp):\/\/(.*)$/.exec(text) ?? [];
  if (scheme !== 'udp' && scheme !== 'tcp') return `'${text}' has none of these forms`;
  const address = parseHostPort(rest, PORTS[scheme]);
  return typeof address === 'string' ? address : { kind: scheme, ...address };
}
