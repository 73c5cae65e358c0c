#!/usr/bin/env node
/** `hastate`: the command line. */
import { basename } from 'node:path';
import { isatty } from 'node:tty';

import { run } from './run.ts';

// A reader that went away, as `head` does, is the end and no error.
process.stdout.on('error', () => process.exit());

const code = await run(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  program: basename(process.argv[1] ?? '') === 'hastctl' ? 'hastctl' : 'hastate',
  // `isTTY` is undefined, whatever its type says, when it is none.
  terminal: isatty(process.stdout.fd),
  errTerminal: isatty(process.stderr.fd),
  color: (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb',
  interruption() {
    const interrupted = new AbortController();
    process.once('SIGINT', () => interrupted.abort());
    return interrupted.signal;
  },
});
// The demonstration sets its own.
if (code !== 0) process.exitCode = code;
