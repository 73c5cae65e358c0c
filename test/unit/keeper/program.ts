import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';

/** Makes a program of TypeScript runnable by node alone. @returns its path; `dispose` removes it */
export async function buildProgram(entry: string): Promise<{ path: string; dispose: () => void }> {
  const directory = mkdtempSync(join(tmpdir(), 'hastate-program-'));
  const path = join(directory, 'program.mjs');
  await build({
    entryPoints: [entry],
    outfile: path,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'error',
  });
  return { path, dispose: () => rmSync(directory, { recursive: true, force: true }) };
}

export class Program {
  readonly child: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** It has exited, and so has everybody who inherited its output. */
  readonly closed: Promise<void>;
  /** Of its standard output and standard error. */
  readonly lines: string[] = [];
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(argv: readonly string[]) {
    const [file = '', ...args] = argv;
    this.child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.closed = new Promise((resolve) => {
      this.child.on('close', () => {
        this.#closed = true;
        resolve();
        this.#wake();
      });
    });
    this.exited = new Promise((resolve) => {
      this.child.on('exit', (code, signal) => {
        resolve({ code, signal });
      });
    });
    for (const input of [this.child.stdout, this.child.stderr]) {
      if (input === null) continue;
      createInterface({ input }).on('line', (line) => {
        this.lines.push(line);
        this.#wake();
      });
    }
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** The nth line that matches. */
  async line(pattern: RegExp, nth = 1): Promise<string> {
    for (;;) {
      const found = this.lines.filter((line) => pattern.test(line))[nth - 1];
      if (found !== undefined) return found;
      if (this.#closed) throw new Error(`ended without saying ${pattern.source}: ${this.lines.join(' | ')}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** Starts a program that ends with the test at the latest. */
export function start(...argv: string[]): Program {
  const program = new Program(argv);
  onTestFinished(() => program.kill());
  return program;
}
