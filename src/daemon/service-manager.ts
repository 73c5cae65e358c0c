/** What systemd is told, where it started us: ready, stopping, alive. @see sd_notify(3) */
import { execa } from 'execa';

import { localTransport } from './logging/syslog-local.ts';

const PROGRAM_MS = 5000;

export interface ServiceManager {
  /** It wants to hear that we live at least this often, ms; null: it does not watch. */
  readonly watchdogMs: number | null;
  /** One or more lines NAME=VALUE. Rejects when they cannot be handed over. */
  tell(text: string): Promise<void>;
  close(): void;
}

/** Takes its variables out of `environment`: what we start is nobody's service. Null: nobody to tell. */
export function serviceManager(environment: NodeJS.ProcessEnv = process.env): ServiceManager | null {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = environment;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'])
    Reflect.deleteProperty(environment, name);
  if (socket === undefined || socket === '') return null;
  const ours = pid === undefined || pid === String(process.pid);
  const watchdogMs = ours && Number(usec) > 0 ? Number(usec) / 1000 : null;
  // A name in the abstract space has no path.
  const transport = socket.startsWith('/') ? localTransport(socket) : null;
  return {
    watchdogMs,
    tell: (text) => transport?.send(text) ?? byProgram(socket, text),
    close: () => transport?.close(),
  };
}

/** Without koffi. The unit needs `NotifyAccess=all` then. */
async function byProgram(socket: string, text: string): Promise<void> {
  await execa('systemd-notify', [`--pid=${process.pid}`, ...text.split('\n')], {
    env: { NOTIFY_SOCKET: socket },
    timeout: PROGRAM_MS,
    stdio: 'ignore',
  });
}
