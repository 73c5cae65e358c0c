import { writeSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { OUTPUT_FILE_BYTES, OutputFile } from '../../../src/hooks/output-file.ts';
import { temporaryDir } from './hook-dir.ts';

/** Turns of the event loop after which the end is looked at: a cut takes some ten of them. */
const MOMENTS = Array.from({ length: 25 }, (_, turns) => turns);

describe('OutputFile', () => {
  it('has the end of what was printed at every moment of a cut', async () => {
    const dir = await temporaryDir();
    for (const turns of MOMENTS) {
      const output = await OutputFile.open(dir, 'thing', () => undefined);
      writeSync(output.fd, Buffer.alloc(OUTPUT_FILE_BYTES));
      writeSync(output.fd, 'the end');
      const ended = new AbortController();
      const watching = output.watch(ended.signal);
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect((await output.tail()).slice(-7)).toBe('the end');
      ended.abort();
      await watching;
      await output.close();
    }
  });
});
