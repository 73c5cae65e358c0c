#!/usr/bin/env node
/** `hastate`: the command line. */
import { run } from './run.ts';

// A reader that went away, as `head` does, is the end and no error.
process.stdout.on('error', () => process.exit());

const code = await run(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  terminal: process.stdout.isTTY,
  interruption() {
    const interrupted = new AbortController();
    process.once('SIGINT', () => interrupted.abort());
    return interrupted.signal;
  },
});
// The demonstration sets its own.
if (code !== 0) process.exitCode = code;
