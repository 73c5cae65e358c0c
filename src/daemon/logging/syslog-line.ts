/** Lines for syslog: as syslog(3) writes them to the local socket, and RFC 5424 for the network. Pure. */
import { cutTo, FACILITIES, type LogLine, oneLine, SEVERITIES } from './line.ts';
import type { SyslogSettings } from '../../model/settings.ts';

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');
/** What local daemons take at least, and what RFC 5426 says that receivers should take by UDP. Bytes. */
const MAX_LOCAL = 8192;
const MAX_UDP = 2048;

export interface SyslogSender {
  readonly hostname: string;
  readonly pid: number;
}

/** One whole message, without any framing. */
export function syslogLine(line: LogLine, settings: SyslogSettings, sender: SyslogSender): string {
  const severity = settings.severity ?? SEVERITIES[line.level];
  const priority = `<${FACILITIES[settings.facility] * 8 + severity}>`;
  const message = oneLine(line.message);
  if (settings.to.kind === 'local')
    return cutTo(`${priority}${stamp(line.time)} ${settings.tag}[${sender.pid}]: ${message}`, MAX_LOCAL);
  const head = `1 ${line.time.toISOString()} ${word(sender.hostname)} ${settings.tag} ${sender.pid} - -`;
  return cutTo(`${priority}${head} ${message}`, settings.to.kind === 'udp' ? MAX_UDP : MAX_LOCAL);
}

/** RFC 5424's PRINTUSASCII. */
function word(text: string): string {
  const printable = text.replace(/[^\x21-\x7e]/g, '').slice(0, 255);
  return printable === '' ? '-' : printable;
}

/** `Nov  5 09:03:07`, in local time, as RFC 3164 has it. */
function stamp(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = String(time.getDate()).padStart(2, ' ');
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return `${MONTHS[time.getMonth()] ?? ''} ${day} ${clock}`;
}
