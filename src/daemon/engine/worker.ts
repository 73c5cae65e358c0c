/** Entry of an engine's thread. It ends with the engine; what it throws is the main thread's `engine.died`. */
import { parentPort, workerData } from 'node:worker_threads';
import { createEngine } from '../../replication/engine.ts';
import { runEngine } from './host.ts';
import type { WorkerSetup } from './worker-messages.ts';

if (parentPort === null) throw new Error('this file is the entry of a worker thread');
await runEngine(parentPort, workerData as WorkerSetup, createEngine);
