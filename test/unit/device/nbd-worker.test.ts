import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, it, onTestFinished } from 'vitest';
import { connectNbd } from '../../../src/device/nbd-initiator.ts';
import { buildProgram } from '../keeper/program.ts';
import { temporaryDirectory } from './nbd-fixture.ts';

it('the NBD server serves from a worker thread, and its clients end with the thread', async () => {
  const directory = await temporaryDirectory();
  const [socketPath, file] = [join(directory, 'disk1.sock'), join(directory, 'disk1.img')];
  await writeFile(file, Buffer.alloc(1024 * 1024, 7));
  const program = await buildProgram('test/unit/device/serve-file.ts');
  onTestFinished(program.dispose);
  const worker = new Worker(program.path, { argv: [socketPath, file], stdout: true });
  onTestFinished(async () => {
    await worker.terminate();
  });
  await once(worker.stdout, 'data');

  const client = await connectNbd({ socketPath, exportName: 'disk1' });
  await client.write(512, Buffer.alloc(512, 9), { fua: true });
  expect(await client.read(0, 1024)).toEqual(Buffer.concat([Buffer.alloc(512, 7), Buffer.alloc(512, 9)]));

  await worker.terminate();
  await client.closed;
});
