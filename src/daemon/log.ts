/** The daemon's log: one line per thing that happened, for the operator at 3 a.m. */
import winston from 'winston';

export type Level = 'error' | 'warn' | 'info' | 'debug';
export type Log = (level: Level, message: string) => void;

/** To stderr, with the wall clock and the node's name; `level` and everything more severe. */
export function createLog(options: { node: string; level: Level }): Log {
  const logger = winston.createLogger({
    level: options.level,
    format: winston.format.combine(
      winston.format.timestamp(),
      winston.format.printf(
        (info) => `${String(info['timestamp'])} ${options.node} ${info.level}: ${String(info.message)}`,
      ),
    ),
    transports: [new winston.transports.Stream({ stream: process.stderr })],
  });
  return (level, message) => {
    logger.log(level, message);
  };
}
