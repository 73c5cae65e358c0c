/**
 * The daemon's log: one line per thing that happened, for the operator at 3 a.m. To standard error as
 * text, JSON lines or for journald, and to syslog. Nothing that listens can make the daemon wait.
 */
import { fstatSync } from 'node:fs';
import { hostname } from 'node:os';
import { Writable } from 'node:stream';
import winston from 'winston';

import type { LogSettings, SyslogSettings } from '../model/settings.ts';
import { jsonLine, journaldLine, LEVELS, type LogLevel, type LogLine, textLine } from './logging/line.ts';
import { syslogLine } from './logging/syslog-line.ts';
import { LOCAL_SYSLOG, localTransport } from './logging/syslog-local.ts';
import { tcpTransport, udpTransport } from './logging/syslog-network.ts';
import { SyslogQueue, type SyslogTransport } from './logging/syslog-queue.ts';

export type Level = LogLevel;
export type Log = (level: Level, message: string) => void;

const FLUSH_MS = 1000;
/** As hastd in the background, unless hastate.yaml says something else. */
const HASTD_SYSLOG: SyslogSettings = {
  facility: 'daemon',
  severity: null,
  tag: 'hastated',
  to: { kind: 'local', path: null },
};

export interface LoggerOptions {
  readonly node: string;
  readonly settings: LogSettings;
  /** How many levels more than the settings say. */
  readonly debug: number;
  /** Nobody reads standard error. */
  readonly detached: boolean;
  /** Told what is lost, and null when it is not any more; for status. */
  readonly onTrouble?: (reason: string | null) => void;
}

export interface Logger {
  readonly log: Log;
  /** Other settings from now on. */
  readonly configure: (settings: LogSettings) => void;
  /** Gives what is under way to syslog a moment. */
  close(): Promise<void>;
}

export function createLogger(options: LoggerOptions): Logger {
  // A reader that went away must not end the daemon.
  process.stderr.on('error', () => undefined);
  const logger = winston.createLogger({ levels: LEVELS });
  let closed = false;
  const log: Log = (level, message) => {
    if (!closed) logger.log(level, message);
  };
  const onTrouble = (reason: string | null): void => {
    options.onTrouble?.(reason);
    if (reason !== null) log('warn', reason);
  };
  let syslog: SyslogQueue | null = null;
  const configure = (settings: LogSettings): void => {
    const earlier = syslog;
    void earlier?.close(FLUSH_MS);
    logger.clear();
    logger.level = raised(settings.level, options.debug);
    // Winston wants one transport at least.
    logger.add(options.detached ? toNothing() : toStderr(settings.format, options.node));
    syslog = null;
    onTrouble(null);
    const wanted =
      settings.syslog === 'when-detached' ? (options.detached ? HASTD_SYSLOG : null) : settings.syslog;
    if (wanted === null) return;
    const transport = transportOf(wanted);
    if (transport === null) {
      onTrouble(
        'log.syslog: the local socket needs the optional package koffi; install it, or name a receiver with log.syslog.to',
      );
      return;
    }
    syslog = queueOf(transport, wanted, onTrouble);
    logger.add(toSyslog(syslog, wanted));
  };
  configure(options.settings);
  return {
    log,
    configure,
    async close() {
      closed = true;
      await new Promise<void>((resolve) => {
        logger.once('finish', resolve);
        logger.end();
      });
      await syslog?.close(FLUSH_MS);
    },
  };
}

function raised(level: Level, by: number): Level {
  const names = Object.keys(LEVELS) as Level[];
  return names[Math.min(LEVELS[level] + by, names.length - 1)] ?? level;
}

type Info = winston.Logform.TransformableInfo;

function shaped(shape: (line: LogLine) => string): winston.Logform.Format {
  return winston.format.printf((info: Info) =>
    shape({ level: info.level as Level, message: String(info.message), time: new Date() }),
  );
}

function toStderr(format: LogSettings['format'], node: string): winston.transport {
  const kind = format === 'auto' ? (isJournal() ? 'journald' : 'text') : format;
  const shapes = {
    text: (line: LogLine) => textLine(line, node),
    json: (line: LogLine) => jsonLine(line, node),
    journald: journaldLine,
  };
  return new winston.transports.Stream({ stream: process.stderr, format: shaped(shapes[kind]) });
}

function toNothing(): winston.transport {
  return new winston.transports.Console({ silent: true });
}

function toSyslog(queue: SyslogQueue, settings: SyslogSettings): winston.transport {
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      queue.add(chunk);
      done();
    },
  });
  const sender = { hostname: hostname(), pid: process.pid };
  const format = shaped((line) => syslogLine(line, settings, sender));
  return new winston.transports.Stream({ stream, format, eol: '' });
}

function transportOf({ to }: SyslogSettings): SyslogTransport | null {
  if (to.kind === 'local') return localTransport(to.path ?? LOCAL_SYSLOG);
  return to.kind === 'udp' ? udpTransport(to.host, to.port) : tcpTransport(to.host, to.port);
}

function queueOf(
  transport: SyslogTransport,
  settings: SyslogSettings,
  onTrouble: (reason: string | null) => void,
): SyslogQueue {
  const sender = { hostname: hostname(), pid: process.pid };
  return new SyslogQueue({
    transport,
    lostLine: (count) => {
      const message = `${count} lines were lost while ${transport.target} took none`;
      return syslogLine({ level: 'warn', message, time: new Date() }, settings, sender);
    },
    onTrouble: (reason) => {
      onTrouble(
        reason === null ? null : `syslog at ${transport.target} takes no lines (${reason}): they wait here`,
      );
    },
  });
}

/** systemd says which file the journal's is: an inherited variable alone proves nothing. @see systemd.exec(5) */
function isJournal(): boolean {
  const [device, inode] = (process.env['JOURNAL_STREAM'] ?? '').split(':');
  try {
    const { dev, ino } = fstatSync(process.stderr.fd);
    return String(dev) === device && String(ino) === inode;
  } catch {
    return false;
  }
}
